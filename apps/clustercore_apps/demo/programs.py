"""What the demonstration serves with: a real server of the distribution when there is one, else the sample
service.

Each answers `/` with a page and `/paced` after about `PACED_SECONDS`, so that a few hundred requests per
second make a load that one can see, without wearing out the machine.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass

from clustercore_apps.errors import OperatorError

PACED_SECONDS = 0.15
SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"


@dataclass(frozen=True, slots=True)
class ServiceProgram:
    """A command line and its files, with `{port}` and the like still in them."""

    kind: str
    command: list[str]
    files: dict[str, str]
    stop_signal: str


def find_program(wanted: str) -> ServiceProgram:
    """The program for `auto`, `nginx`, `lighttpd` or `sample`.

    Raises `OperatorError` when a named one is absent.
    """
    makers = {"nginx": _nginx, "lighttpd": _lighttpd}
    for kind, make in makers.items():
        path = shutil.which(kind, path=SEARCH)
        if wanted == kind and path is None:
            raise OperatorError(
                f'{kind} is not installed; run "apt-get install {kind}" or give --program sample'
            )
        if wanted in ("auto", kind) and path is not None:
            return make(path)
    command = [sys.executable, "-m", "clustercore_apps.demo.sample_service", "{address}", "{port}", "{name}"]
    return ServiceProgram("sample", command, {}, "TERM")


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>clustercore demonstration</title>
<body style="font:18px system-ui;margin:4em auto;max-width:34em"><h1>It serves.</h1>
<p>This page came from <b>{name}</b>, port {port}, through the front end.</p></body></html>
"""


def _nginx(path: str) -> ServiceProgram:
    # As root nginx would hand its workers to another user, who may not enter the demonstration's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    # 16 KiB in pieces of 4 KiB at 80 KiB/s: a pause of 50 ms after each of the first three.
    config = f"""daemon off; worker_processes 1; pid {{workdir}}/nginx.pid; error_log stderr warn; {user}
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 100000; default_type text/html;
  client_body_temp_path {{workdir}}/body; proxy_temp_path {{workdir}}/proxy; fastcgi_temp_path
  {{workdir}}/fastcgi; uwsgi_temp_path {{workdir}}/uwsgi; scgi_temp_path {{workdir}}/scgi; server {{
    listen {{address}}:{{port}};
    root {{workdir}};
    location = / {{ try_files /index.html =404; }}
    location = /paced {{ default_type text/plain; sendfile on; sendfile_max_chunk 4k; limit_rate 80k; }}
  }}
}}
"""
    files = {"nginx.conf": config, "index.html": _PAGE, "paced": "clustercore demo" * 1024}
    command = [path, "-p", "{workdir}", "-e", "stderr", "-c", "{workdir}/nginx.conf"]
    return ServiceProgram("nginx", command, files, "QUIT")


def _lighttpd(path: str) -> ServiceProgram:
    config = """server.document-root = "{workdir}"
server.bind = "{address}"
server.port = {port}
server.modules = ( "mod_cgi" )
index-file.names = ( "index.html" )
mimetype.assign = ( ".html" => "text/html" )
$HTTP["url"] == "/paced" { cgi.assign = ( "" => "/bin/sh" ) }
"""
    paced = f"printf 'Content-Type: text/plain\\r\\n\\r\\n'\nexec sleep {PACED_SECONDS}\n"
    files = {"lighttpd.conf": config, "index.html": _PAGE, "paced": paced}
    return ServiceProgram("lighttpd", [path, "-D", "-f", "{workdir}/lighttpd.conf"], files, "INT")
