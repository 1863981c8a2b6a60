"""Sends a message by mail (SMTP) or to a webhook (Slack, Teams, others), as the environment says."""

import os
import smtplib
import ssl
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

from assets.alerts.message import Message
from pipeline.errors import PipelineError

MAIL_TO, MAIL_FROM, SMTP = "BDD_MAIL_TO", "BDD_MAIL_FROM", "BDD_SMTP"
USER, PASSWORD = "BDD_SMTP_USER", "BDD_SMTP_PASSWORD"
WEBHOOK = "BDD_WEBHOOK"
SECONDS, TRIES, PAUSE = 10, 2, 2
"""How long a server may take to answer, how often it is asked, and the seconds between: Dagster gives sensors 60 s."""
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
SLACK = "hooks.slack.com"
TEAMS = (".webhook.office.com", ".logic.azure.com", ".powerplatform.com")
CARD = "application/vnd.microsoft.card.adaptive"


class AlertError(PipelineError):
    """Somebody could not be told of a run."""


def is_wanted() -> bool:
    """Return whether somebody is to be told."""
    return bool(os.environ.get(MAIL_TO) or os.environ.get(WEBHOOK))


def send(message: Message) -> list[str]:
    """Send a message on each way that is set; return these. Raises AlertError with a sentence for each that failed."""
    told, faults = [], []
    for way, work in _ways():
        try:
            _tried(work, message)
            told.append(way)
        except (OSError, ValueError, AlertError) as error:
            faults.append(f"{way}: {_said(error)}")
    if faults:
        raise AlertError("; ".join(faults))
    return told


def _ways() -> Iterator[tuple[str, Callable[[Message], None]]]:
    if os.environ.get(MAIL_TO):
        yield "mail", _mail
    if os.environ.get(WEBHOOK):
        yield "webhook", _call


def _tried(work: Callable[[Message], None], message: Message) -> None:
    """Send a message, again where the network fails."""
    for _ in range(TRIES - 1):
        try:
            work(message)
        except OSError:  # those of smtplib and requests are such
            time.sleep(PAUSE)
        else:
            return
    work(message)


def _said(error: Exception) -> str:
    """Return what an error says without the addresses that libraries put into it: a webhook's is a secret."""
    if isinstance(error, AlertError):
        return str(error)
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the server answered {error.smtp_code}"
    if isinstance(error, ValueError):
        return f"its settings, or the message, hold characters that it can't send ({type(error).__name__})"
    return f"the server can't be reached, or breaks off ({type(error).__name__})"


def _mail(message: Message) -> None:
    mail, receivers = EmailMessage(), os.environ[MAIL_TO]
    mail["To"], mail["Subject"] = receivers, message.subject
    mail["From"] = os.environ.get(MAIL_FROM) or receivers.split(",")[0].strip()
    mail.set_content(message.text)
    scheme, host, port = _server()
    secure = ssl.create_default_context()
    if scheme == "smtps":
        opened: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=secure)
    else:
        opened = smtplib.SMTP(host, port, timeout=SECONDS)
    with opened as server:
        server.ehlo()
        if scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=secure)
            server.ehlo()
        if os.environ.get(USER):
            if not isinstance(server.sock, ssl.SSLSocket) and host not in LOOPBACK:
                raise AlertError(f"{host} offers no encryption, and gets no password: use smtps://, or unset {USER}")
            server.login(os.environ[USER], os.environ.get(PASSWORD, ""))
        server.send_message(mail)


def _server() -> tuple[str, str, int]:
    """Return scheme, host and port of the mail server, of `smtp://host:587`, `smtps://host:465` or `host:587`."""
    given = os.environ.get(SMTP, "localhost:25")
    address = urlsplit(given if "://" in given else f"smtp://{given}")
    try:
        port = address.port
    except ValueError:
        port = 0
    if address.scheme not in ("smtp", "smtps") or not address.hostname or port == 0 or address.username:
        raise AlertError(f"{SMTP} is no server such as smtp://mail.example.org:587 (its user: {USER}, {PASSWORD})")
    return address.scheme, address.hostname, port or (465 if address.scheme == "smtps" else 587)


def _call(message: Message) -> None:
    import requests

    address = os.environ[WEBHOOK]
    if urlsplit(address).scheme not in ("http", "https"):
        raise AlertError(f"{WEBHOOK} is no http:// or https:// address")
    body = _body(urlsplit(address).hostname or "", message)
    answer = requests.post(address, json=body, timeout=SECONDS, allow_redirects=False)
    if not 200 <= answer.status_code < 300:
        raise AlertError(f"the server answered {answer.status_code}")


def _body(host: str, message: Message) -> dict[str, Any]:
    """Return what the webhook of a host takes: Slack's text, a card for Teams, or the facts."""
    text = f"{message.subject}\n{message.text}"
    if host == SLACK:
        return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    if host.endswith(TEAMS):
        blocks = [{"type": "TextBlock", "text": line, "wrap": True} for line in text.splitlines()]
        card = {"type": "AdaptiveCard", "version": "1.4", "body": blocks}
        return {"type": "message", "attachments": [{"contentType": CARD, "content": card}]}
    return {"subject": message.subject, "text": message.text, **message.facts}
