"""What the exit codes of every command mean."""

from __future__ import annotations

OK, BUG, USER_ERROR, NOT_FINITE, INTERRUPTED = 0, 1, 2, 3, 75
MEANINGS = {
    OK: 'done',
    BUG: 'a mistake of the program: a traceback says where',
    USER_ERROR: 'bad input: one sentence on stderr, nothing changed',
    NOT_FINITE: 'not finite: stopped at the last good state, which is saved',
    INTERRUPTED: 'stopped by a signal, saved: the same command goes on',
}
