"""Who may talk to an agent or a console: a token, TLS, or loopback only.

The agent proves itself by its certificate, which the front end has pinned; the front end proves itself by the
node's token. Tokens are 32 random bytes in base64, kept in files that only their owner can read.
"""

from __future__ import annotations

import hmac
import os
import secrets
import ssl
import subprocess
from pathlib import Path

from clustercore_apps.address import is_loopback
from clustercore_apps.errors import OperatorError

TOKEN_BYTES = 32
TOKEN_CHARACTERS_MIN = 16
CERTIFICATE_DAYS = 3650


def make_token() -> str:
    """A new random token."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def read_token(path: Path) -> str:
    """The token in the file `path`. Raises `OperatorError`, also when others may read the file."""
    try:
        mode = path.stat().st_mode
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            f'token file {path} cannot be read ({error}); make one with "clustercore node keygen"'
        ) from None
    if mode & 0o077:
        raise OperatorError(
            f"token file {path} has mode {mode & 0o777:o}, others can read it; run: chmod 600 {path}"
        )
    if len(token) < TOKEN_CHARACTERS_MIN:
        raise OperatorError(
            f"token in {path} has {len(token)} characters, at least {TOKEN_CHARACTERS_MIN} are needed"
        )
    return token


def is_same_token(given: str, expected: str) -> bool:
    """Compares in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())


def keygen(directory: Path, host: str) -> tuple[Path, Path, Path]:
    """Writes `node.crt`, `node.key` and `token` for a node that is reached as `host`; returns their paths.

    Refuses to overwrite. Raises `OperatorError`.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificate, key, token = directory / "node.crt", directory / "node.key", directory / "token"
    for path in (certificate, key, token):
        if path.exists():
            raise OperatorError(
                f"{path} exists and stays; remove it first or name another folder with --directory"
            )
    kind = "IP" if host.replace(".", "").isdigit() or ":" in host else "DNS"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-sha256", "-days", str(CERTIFICATE_DAYS), "-subj", f"/CN={host}"),
        *(
            "-addext",
            f"subjectAltName={kind}:{host}",
            "-addext",
            "basicConstraints=critical,CA:TRUE,pathlen:0",
        ),
        *("-keyout", str(key), "-out", str(certificate)),
    ]
    old_mask = os.umask(0o077)
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        token.write_text(make_token() + "\n", encoding="ascii")
    except FileNotFoundError:
        raise OperatorError('openssl is not installed; run "apt-get install openssl"') from None
    except (subprocess.SubprocessError, OSError) as error:
        detail = getattr(error, "stderr", b"") or str(error).encode()
        raise OperatorError(f"openssl made no key: {detail.decode(errors='replace').strip()}") from None
    finally:
        os.umask(old_mask)
    certificate.chmod(0o644)
    return certificate, key, token


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.3 for an agent. Raises `OperatorError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise OperatorError(f"certificate {certificate} with key {key} cannot be used: {error}") from None
    return context


def client_context(certificate: Path) -> ssl.SSLContext:
    """TLS 1.3 that trusts this one certificate and nothing else. Raises `OperatorError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The certificate is pinned: only the holder of its key passes, under whatever name it is reached.
    context.check_hostname = False
    try:
        context.load_verify_locations(certificate)
    except (OSError, ssl.SSLError) as error:
        raise OperatorError(f"certificate {certificate} cannot be used: {error}") from None
    return context


def check_exposure(what: str, host: str, *, secured: bool, insecure: bool) -> None:
    """Refuses an open port that others can reach. Raises `OperatorError`."""
    if not is_loopback(host) and not secured and not insecure:
        raise OperatorError(
            f"{what} would listen on {host} without TLS and token, which others can reach; give "
            f"--certificate, --key "
            'and --token-file (see "clustercore node keygen"), or say --insecure in so many words'
        )
