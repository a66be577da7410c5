"""Memory and time of a run that lists many objects: `python -m benchmarks.reliability.object_listing [NUMBER...]`.

The store is the S3 server of moto with that many small objects. The run is `shotcrop crop --dry-run`, as a process of
its own. `Listing` is a server that makes listings up, for measurements that need more objects than moto can hold.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from benchmarks.speed.child_process import measure
from benchmarks.store_server import FOLDER, store_server

_PAGE = 1_000
_ENTRY = (
    "<Contents><Key>trip/{0:05}/IMG_{1:08}.jpg</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
    "<ETag>&quot;{1:032x}&quot;</ETag><Size>4000000</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


class Listing(BaseHTTPRequestHandler):
    """Lists made-up photos in one bucket, and nothing in others."""

    total = 0
    requests = 0
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with one page."""
        url = urlsplit(self.path)
        first = int(parse_qs(url.query).get("continuation-token", ["0"])[0])
        last = min(first + _PAGE, self.total) if url.path.startswith("/photos") else first
        entries = "".join(_ENTRY.format(number // _PAGE, number) for number in range(first, last))
        is_more = last < self.total and url.path.startswith("/photos")
        token = f"<NextContinuationToken>{last}</NextContinuationToken>" if is_more else ""
        body = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(is_more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
        ).encode()
        type(self).requests += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def serve() -> dict[str, str]:
    """Start the server, and return the environment in which a run finds it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
    }


def main() -> None:
    print("| photos | peak MB | processor ms per photo |\n| ---: | ---: | ---: |")
    for number in map(int, sys.argv[1:] or ["1000", "10000", "100000"]):
        with store_server(number) as environment:
            os.environ.update(environment)
            began = time.monotonic()
            command = (sys.executable, "-m", "shotcrop_cli", "crop", FOLDER, "-o", "s3://shots/x", "-n", "-q")
            run = measure(*command)
        print(f"| {number:,} | {run.peak_mb:.0f} | {1000 * run.cpu_seconds / number:.2f} |", flush=True)
        print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
