"""What the exit codes of every command mean."""

from __future__ import annotations

from dlfd_jax.utils import stops

OK, BUG, USER_ERROR, NOT_FINITE, NOT_FORGOTTEN, UNUSABLE, NO_MODEL = range(7)
# All that was asked for is written, whatever it says of the model.
DONE = (OK, NOT_FORGOTTEN, UNUSABLE, NO_MODEL)
INTERRUPTED = stops.SAVED
HANGUP, CTRL_C, TERMINATED = (
    stops.code_of(number) for number in (1, 2, 15))
MEANINGS = {
    OK: 'done',
    BUG: 'a mistake of the program: a traceback says where',
    USER_ERROR: 'bad input: one sentence on stderr, nothing changed',
    NOT_FINITE: 'not finite: stopped at the last good state, which is saved',
    NOT_FORGOTTEN: 'done, but not forgotten: the unlearned model equals the '
                   'original bit by bit, it does not meet the threshold of '
                   'its live attack, or an evaluation answers '
                   '"Forgotten?" with no; it may have lost too much '
                   'accuracy, too',
    UNUSABLE: 'done, but the model is not to be used: it lost too much '
              'accuracy, or an evaluation tells it apart from retrained models',
    NO_MODEL: 'done, but no model could be shown to have forgotten: there is '
              'none',
    INTERRUPTED: 'stopped by a signal, saved: the same command goes on',
    HANGUP: 'stopped by SIGHUP with nothing saved',
    CTRL_C: 'stopped by Ctrl-C with nothing saved',
    TERMINATED: 'stopped by SIGTERM with nothing saved',
}
