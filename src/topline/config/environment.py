"""What the environment says: one frozen object, read once by settings.

Variables: TOPLINE_HOME, TOPLINE_DATABASE_URL, TOPLINE_SECRET_KEY, TOPLINE_URL, TOPLINE_ALLOWED_HOSTS, TOPLINE_DEBUG,
TOPLINE_EMAIL_URL, TOPLINE_LOG_FORMAT, TOPLINE_PROCESSOR, TOPLINE_STRIPE_KEY, TOPLINE_STRIPE_WEBHOOK_SECRET.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

LOOPBACK = {"localhost", "127.0.0.1", "::1", "testserver"}


@dataclass(frozen=True)
class Environment:
    """home: folder of the database file, secret key and backups; url: the address at which people reach this Topline."""

    home: Path
    database: dict[str, Any]
    secret_key: str
    url: str
    allowed_hosts: list[str]
    debug: bool
    email_url: str
    log_format: str
    processor: str
    stripe_key: str
    stripe_webhook_secret: str

    @property
    def on_loopback(self) -> bool:
        """True when only this machine can reach it: then plain http and no HSTS are fine."""
        return (urlsplit(self.url).hostname or "") in LOOPBACK

    @property
    def is_https(self) -> bool:
        return urlsplit(self.url).scheme == "https"


def database_settings(url: str, home: Path) -> dict[str, Any]:
    """Django's DATABASES entry for `sqlite:///path` or `postgresql://user:password@host:port/name?host=/socket/dir`.

    Raises: ImproperlyConfigured for any other scheme.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        path = unquote(parts.path[1:]) if parts.path.startswith("/") else unquote(parts.path)
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(Path(path) if path else home / "topline.sqlite3"),
            "ATOMIC_REQUESTS": False,
            "CONN_MAX_AGE": 600,  # the pages that a connection has read are forgotten with it
            "OPTIONS": {
                "timeout": 30,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON;PRAGMA cache_size=-64000;PRAGMA temp_store=MEMORY",
            },
        }
    if parts.scheme in {"postgresql", "postgres"}:
        query = dict(parse_qsl(parts.query))
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.lstrip("/")) or "topline",
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": query.pop("host", parts.hostname or ""),
            "PORT": str(parts.port or ""),
            "ATOMIC_REQUESTS": False,
            "CONN_MAX_AGE": 600,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": query,
        }
    raise ImproperlyConfigured(f"TOPLINE_DATABASE_URL: {parts.scheme!r} is not supported. Use sqlite:///file or postgresql://...")


def email_settings(url: str, *, home: Path) -> dict[str, Any]:
    """Django's EMAIL_* settings for `smtp://user:password@host:587/?from=billing@company.com` (smtps:// for TLS from the start).

    Without an address mail is kept as files in the home folder, under `mail`. STARTTLS is used beyond this machine unless `starttls=0` is given.
    Raises: ImproperlyConfigured for any other scheme.
    """
    if not url:
        return {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_FILE_PATH": home / "mail"}
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ImproperlyConfigured(f"TOPLINE_EMAIL_URL: {parts.scheme!r} is not supported. Use smtp://user:password@host:587.")
    query = dict(parse_qsl(parts.query))
    is_tls = parts.scheme == "smtps"
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (465 if is_tls else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": is_tls,
        "EMAIL_USE_TLS": not is_tls and query.get("starttls", "0" if parts.hostname in LOOPBACK else "1") == "1",
        "EMAIL_TIMEOUT": 20,
        "DEFAULT_FROM_EMAIL": query.get("from", unquote(parts.username or "") or "topline@localhost"),
    }


def _secret_key(home: Path) -> str:
    """The key from the environment, else one kept in the home folder, readable by its owner only."""
    if key := os.environ.get("TOPLINE_SECRET_KEY"):
        if len(key) < 32:
            raise ImproperlyConfigured("TOPLINE_SECRET_KEY needs at least 32 characters.")
        return key
    path = home / "secret_key"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        handle, own = tempfile.mkstemp(dir=home)  # readable by its owner only
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(own, path)  # at once and whole, so that nobody who starts beside us reads half a key
        except FileExistsError:
            pass  # another process was first: read its key
        finally:
            Path(own).unlink()
    return path.read_text().strip()


def read_environment() -> Environment:
    """The environment as Topline understands it.

    Raises: ImproperlyConfigured, also when it would be served beyond this machine without https.
    """
    home = Path(os.environ.get("TOPLINE_HOME", "var")).absolute()
    url = os.environ.get("TOPLINE_URL", "http://localhost:8000").rstrip("/")
    host = urlsplit(url).hostname
    if not host:
        raise ImproperlyConfigured(f"TOPLINE_URL: {url!r} is not an address such as https://topline.example.com.")
    hosts = [h for h in os.environ.get("TOPLINE_ALLOWED_HOSTS", "").split(",") if h]
    environment = Environment(
        home=home,
        database=database_settings(os.environ.get("TOPLINE_DATABASE_URL", "sqlite:///"), home),
        secret_key=_secret_key(home),
        url=url,
        allowed_hosts=hosts or sorted({host, "localhost", "127.0.0.1", "[::1]"}),
        debug=os.environ.get("TOPLINE_DEBUG") == "1",
        email_url=os.environ.get("TOPLINE_EMAIL_URL", ""),
        log_format=os.environ.get("TOPLINE_LOG_FORMAT", "console"),
        processor=os.environ.get("TOPLINE_PROCESSOR", ""),
        stripe_key=os.environ.get("TOPLINE_STRIPE_KEY", ""),
        stripe_webhook_secret=os.environ.get("TOPLINE_STRIPE_WEBHOOK_SECRET", ""),
    )
    if environment.processor not in {"", "simulator", "stripe"}:
        raise ImproperlyConfigured(f"TOPLINE_PROCESSOR: {environment.processor!r} is not supported. Use stripe or simulator.")
    if environment.processor == "stripe" and not (environment.stripe_key and environment.stripe_webhook_secret):
        raise ImproperlyConfigured("TOPLINE_PROCESSOR=stripe needs TOPLINE_STRIPE_KEY and TOPLINE_STRIPE_WEBHOOK_SECRET.")
    if not environment.on_loopback and not environment.is_https and os.environ.get("TOPLINE_ALLOW_HTTP") != "1":
        raise ImproperlyConfigured(
            f"TOPLINE_URL {url} would send passwords in the clear. Use https, or set TOPLINE_ALLOW_HTTP=1 behind a proxy that ends TLS."
        )
    return environment
