"""Who is told of a run, on which way, and what: a mail server and a webhook on this machine take it."""

import json
import threading
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import dagster as dg
import pytest

from assets import alerts
from assets.alerts import message, sending
from tests.assets.alerts import mail_server

SECRET = "s3cret"
VERDICT = "+0.012 AP, interval +0.004 to +0.020; learning rate 0.003 → 0.002: released in place of 0123"


class Hook(HTTPServer):
    """A webhook that keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.bodies: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    with Hook() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv(sending.WEBHOOK, f"http://127.0.0.1:{server.server_port}/{SECRET}")
        yield server
        server.shutdown()


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Iterator[mail_server.MailServer]:
    with mail_server.running() as server:
        monkeypatch.setenv(sending.MAIL_TO, "ann@example.org, bob@example.org")
        monkeypatch.setenv(sending.SMTP, server.address)
        yield server


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PAUSE", 0)


@dg.asset(check_specs=[dg.AssetCheckSpec("splits_apart", asset="filtered_labels")])
def filtered_labels() -> dg.MaterializeResult:
    check = dg.AssetCheckResult(
        passed=False, check_name="splits_apart", description="a video is in both", severity=dg.AssetCheckSeverity.WARN
    )
    return dg.MaterializeResult(check_results=[check])


@dg.asset
def evaluation_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    if "broken" in context.run_tags:
        raise dg.Failure("cut.zip: is no zip archive, or its end is missing", allow_retries=False)
    return dg.MaterializeResult(metadata={"folder": dg.MetadataValue.path("/data/report/1"), "segm_AP": 0.4321})


@dg.asset(deps=[evaluation_report])
def released_model() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"verdict": VERDICT, "released": 1})


def told(instance: dg.DagsterInstance, **tags: str) -> Any:
    """Run the assets, and have the sensor look at the run; return what the sensor returned."""
    result = dg.materialize(
        [filtered_labels, evaluation_report, released_model],
        instance=instance, raise_on_error=False, tags={"recipe": "night", **tags},
    )  # fmt: skip
    run = instance.get_run_by_id(result.run_id)
    assert run
    given = {"sensor_name": "s", "dagster_instance": instance, "dagster_run": run}
    ended = result.all_events[-1]
    if result.success:
        return alerts.tell_of_finished_runs(dg.build_run_status_sensor_context(dagster_event=ended, **given))
    context = dg.build_run_status_sensor_context(dagster_event=ended, **given).for_run_failure()
    return alerts.tell_of_failures(context)


def test_a_mail_tells_of_a_failure_in_one_sentence(mails: mail_server.MailServer, monkeypatch: Any) -> None:
    monkeypatch.setenv("BDD_UI", "https://dagster.example.org/")
    with dg.DagsterInstance.ephemeral() as instance:
        told(instance, broken="yes")
        (run,) = instance.get_runs()
    (mail,) = mails.mails
    assert (mail["Subject"], mail["To"]) == ("night: failed", "ann@example.org, bob@example.org")
    assert mail["From"] == "ann@example.org"
    text = mail.get_content().splitlines()
    assert text[0].endswith("(recipe night) failed.")
    assert text[1] == "cut.zip: is no zip archive, or its end is missing"
    assert "- filtered_labels: splits_apart: a video is in both" in text
    assert text[-1] == f"Run: https://dagster.example.org/runs/{run.run_id}"


def test_a_mail_tells_of_the_verdict(mails: mail_server.MailServer, monkeypatch: Any) -> None:
    monkeypatch.setenv(sending.USER, "me")
    monkeypatch.setenv(sending.PASSWORD, SECRET)
    with dg.DagsterInstance.ephemeral() as instance:
        told(instance)
    (mail,) = mails.mails
    assert mail["Subject"] == "night: a new model is released"
    text = mail.get_content().splitlines()
    assert f"Model: {VERDICT}" in text
    assert "Mask AP: 0.432" in text
    assert "Report: /data/report/1/index.html" in text
    assert b64decode(mails.logins[0]) == f"\0me\0{SECRET}".encode()
    assert SECRET not in mail.as_string()


def test_a_webhook_gets_the_facts(hook: Hook) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        told(instance)
    (body,) = hook.bodies
    assert (body["status"], body["recipe"], body["verdict"], body["released"]) == ("succeeded", "night", VERDICT, True)
    assert body["checks"] == ["filtered_labels: splits_apart: a video is in both"]
    assert body["text"].startswith("The run of ")


def test_slack_and_teams_get_their_form() -> None:
    said = message.Message("a: failed", ("<b> & c", "d"), {})
    assert sending._body("hooks.slack.com", said) == {"text": "a: failed\n&lt;b&gt; &amp; c\nd"}
    card = sending._body("x.webhook.office.com", said)["attachments"][0]["content"]
    assert [block["text"] for block in card["body"]] == ["a: failed", "<b> & c", "d"]


def test_nobody_is_told_where_nothing_is_set() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert "set BDD_MAIL_TO and BDD_SMTP, or BDD_WEBHOOK" in told(instance).skip_message
    assert {sensor.default_status for sensor in alerts.SENSORS} == {dg.DefaultSensorStatus.STOPPED}


def test_what_could_not_be_sent_is_said_without_secrets(hook: Hook, mails: Any, monkeypatch: Any) -> None:
    hook.status = 500
    monkeypatch.setenv(sending.SMTP, "127.0.0.1:1")
    said = message.Message("a", ("b",), {})
    with pytest.raises(sending.AlertError) as caught:
        sending.send(said)
    assert str(caught.value) == (
        "mail: the server can't be reached, or breaks off (ConnectionRefusedError); webhook: the server answered 500"
    )
    for way in (sending.SMTP, sending.WEBHOOK):
        monkeypatch.setenv(way, f"ftp://{SECRET}")
    with pytest.raises(sending.AlertError) as caught:
        sending.send(said)
    assert "BDD_SMTP is no server such as" in str(caught.value)
    assert "BDD_WEBHOOK is no http:// or https:// address" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_no_password_goes_out_unencrypted(mails: mail_server.MailServer, monkeypatch: Any) -> None:
    monkeypatch.setattr(sending, "LOOPBACK", set())
    monkeypatch.setenv(sending.USER, "me")
    monkeypatch.setenv(sending.PASSWORD, SECRET)
    with pytest.raises(sending.AlertError, match=r"127\.0\.0\.1 offers no encryption, and gets no password"):
        sending.send(message.Message("a", ("b",), {}))
    assert mails.logins == []


def test_what_can_t_be_sent_by_mail_goes_to_the_webhook(hook: Hook, mails: mail_server.MailServer) -> None:
    with pytest.raises(sending.AlertError, match="mail: its settings, or the message, hold characters"):
        sending.send(message.Message("two\nlines", ("b",), {}))
    assert [body["subject"] for body in hook.bodies] == ["two\nlines"]
