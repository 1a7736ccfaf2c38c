"""Object stores on loopback, started by the test that asks for them."""

import contextlib
import logging
import subprocess
import sys

import fsspec
import pytest
import requests

BUCKET = 'bucket'
# One attempt: nobody waits for a server that was stopped.
S3 = {'AWS_ACCESS_KEY_ID': 'anybody', 'AWS_SECRET_ACCESS_KEY': 'any',
      'AWS_DEFAULT_REGION': 'us-east-1', 'AWS_MAX_ATTEMPTS': '1',
      'AWS_EC2_METADATA_DISABLED': 'true', 'NO_PROXY': '127.0.0.1'}


class S3Server:
  """moto's S3 with one bucket; it keeps its objects when it is stopped."""

  def __init__(self):
    from moto.server import ThreadedMotoServer  # slow to import
    logging.getLogger('werkzeug').setLevel(logging.ERROR)
    self._make = ThreadedMotoServer
    self.port = 0
    self.start()

  def start(self):
    self._server = self._make(
        ip_address='127.0.0.1', port=self.port, verbose=False)
    self._server.start()
    self.port = self._server.get_host_and_port()[1]

  def stop(self):
    self._server.stop()

  @property
  def url(self):
    return f'http://127.0.0.1:{self.port}'

  def ask_for_permission(self, asked):
    """Whether the store looks at who asks from now on."""
    requests.post(f'{self.url}/moto-api/reset-auth',
                  data='0' if asked else 'inf', timeout=60)


@contextlib.contextmanager
def s3():
  """A server, its address in the environment, and a view of its objects."""
  server = S3Server()
  with pytest.MonkeyPatch.context() as patch:
    for name, value in {**S3, 'AWS_ENDPOINT_URL': server.url}.items():
      patch.setenv(name, value)
    objects = fsspec.filesystem(
        's3', use_listings_cache=False, skip_instance_cache=True)
    objects.mkdir(BUCKET)
    try:
      yield server, objects
    finally:
      server.stop()


@contextlib.contextmanager
def gcs():
  """The same of Google's; the emulator is a process of its own."""
  code = ('import sys; from gcp_storage_emulator.server import create_server; '
          's = create_server("127.0.0.1", 0, in_memory=True, '
          f'default_bucket="{BUCKET}"); s.start(); '
          'print(s._api._httpd.server_address[1], flush=True); '
          'sys.stdin.read()')
  with subprocess.Popen(
      [sys.executable, '-c', code], stdin=subprocess.PIPE,
      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
    port = int(server.stdout.readline())
    with pytest.MonkeyPatch.context() as patch:
      patch.setenv('STORAGE_EMULATOR_HOST', f'http://127.0.0.1:{port}')
      patch.setenv('GOOGLE_CLOUD_PROJECT', 'any')
      try:
        yield None, fsspec.filesystem(
            'gs', use_listings_cache=False, skip_instance_cache=True)
      finally:
        server.kill()
