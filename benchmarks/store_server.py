"""An S3 server in a process of its own: moto, filled from inside, because 100,000 requests would take long.

`python -m benchmarks.store_server NUMBER [FILE]` stores NUMBER objects with the content of FILE in the bucket `photos`,
makes the bucket `shots`, and prints the address. It ends when its standard input is closed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1"}
FOLDER = "s3://photos/trip"


def photo_name(number: int) -> str:
    """Name a photo, 1,000 to a folder."""
    return f"{number // 1000:05}/IMG_{number:08}.jpg"


@contextmanager
def store_server(number: int, content: Path | None = None) -> Iterator[dict[str, str]]:
    """Run a server with some photos in `FOLDER`, and yield the environment that leads there."""
    command = [sys.executable, "-m", "benchmarks.store_server", str(number), *map(str, [content] if content else [])]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None and server.stdout is not None
    try:
        yield {**CREDENTIALS, "AWS_ENDPOINT_URL": server.stdout.readline().strip()}
    finally:
        server.stdin.close()
        server.wait(60)


def main() -> None:
    import logging

    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    content = Path(sys.argv[2]).read_bytes() if len(sys.argv) > 2 else b"x"
    backend = s3_backends["123456789012"]["aws"]
    for bucket in ("photos", "shots"):
        backend.create_bucket(bucket, "us-east-1")
    for number in range(int(sys.argv[1])):
        backend.put_object("photos", f"trip/{photo_name(number)}", content)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    print(f"http://127.0.0.1:{server.get_host_and_port()[1]}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
