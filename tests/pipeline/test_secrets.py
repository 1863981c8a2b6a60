"""Passwords and tokens in addresses: in nothing that is shown or stored, and sent all the same."""

import base64
import json
import logging

import pytest

from pipeline import chain, recipe
from pipeline.errors import RecipeError, SourceError
from pipeline.recipe.__main__ import main as recipe_main
from pipeline.secrets import expanded, redacted
from pipeline.sources.resolve import identities
from pipeline.stages import STAGES
from tests.pipeline.small_sources import jpeg, zip_of

SECRETS = ("hunter2", "tok3n")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:hunter2@h.org/a.zip", "https://***@h.org/a.zip"),
        ("https://tok3n@h.org/a.zip?v=2", "https://***@h.org/a.zip?v=2"),
        ("https://me:hun/ter2@h.org/a.zip", "https://***@h.org/a.zip"),
        ("https://h.org:80/@me/a.zip", "https://h.org:80/@me/a.zip"),
        ("https://h.org/a.zip?id=7&access_token=tok3n#x", "https://h.org/a.zip?id=7&access_token=***#x"),
        ("https://s3/a?X-Amz-Date=2026&X-Amz-Signature=tok3n", "https://s3/a?X-Amz-Date=***&X-Amz-Signature=***"),
        ("https://az/a?sv=1&se=2&sig=tok3n", "https://az/a?sv=***&se=***&sig=***"),
        ("https://az/a?sv=1&author=me", "https://az/a?sv=1&author=me"),
        ("Max retries with url: /a?token=tok3n (Caused by", "Max retries with url: /a?token=*** (Caused by"),
        ("https://me:${BDD_PW}@h.org/a?token=${BDD_T}&key=k", "https://me:${BDD_PW}@h.org/a?token=${BDD_T}&key=***"),
    ],
)
def test_what_is_secret_in_an_address_is_hidden(address, shown):
    assert redacted(address) == shown == redacted(shown)


def test_the_environment_gives_secrets_and_takes_them_back(monkeypatch):
    monkeypatch.setenv("BDD_T", "tok3n/+=")
    monkeypatch.setenv("OTHER", "x")
    assert expanded("https://h/${BDD_T}/a?b=${OTHER}") == "https://h/tok3n/+=/a?b=${OTHER}"
    assert expanded("https://h/${BDD_SMTP_PASSWORD}") == "https://h/${BDD_SMTP_PASSWORD}"
    assert redacted("no https://h/tok3n/+=/a") == "no https://h/${BDD_T}/a"
    with pytest.raises(ValueError, match="BDD_NOT_SET is not set"):
        expanded("https://h/${BDD_NOT_SET}")


def test_the_server_gets_the_secret_and_no_file_log_or_fingerprint_does(behaviour, address, tmp_path, caplog, capsys):
    behaviour.content = zip_of(tmp_path / "a.zip", {"1.jpg": jpeg()}).read_bytes()
    behaviour.break_after = [100]
    caplog.set_level(logging.INFO)

    def made(secret: str) -> str:
        entry = f"{address.replace('://', f'://me:{secret}@')}?token={secret}"
        file = tmp_path / "recipe.json"
        file.write_text(json.dumps({"source": {"images": [entry]}}))
        assert recipe_main(["show", str(file)]) == 0
        return chain.run(recipe.load(file), STAGES["raw_images"]).fingerprint

    assert made("hunter2") == made("tok3n")
    sent = base64.b64encode(b"me:hunter2").decode()
    assert behaviour.requests[0]["Authorization"] == f"Basic {sent}"
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path)
    assert b"***@127.0.0.1" in stored
    for secret in SECRETS:
        assert secret.encode() not in stored
        assert secret not in caplog.text + capsys.readouterr().out


def test_a_variable_of_the_environment_is_sent_and_stays_a_reference(behaviour, address, monkeypatch):
    entry = f"{address}?token=${{BDD_T}}"
    given = recipe.parse({"source": {"images": [entry]}})
    with pytest.raises(SourceError, match=r"images\.bin\?token=\$\{BDD_T\}: the environment variable BDD_T is not set"):
        identities(given, "images")
    monkeypatch.setenv("BDD_T", "tok3n-of-mine")
    assert identities(given, "images")[f"0: {entry}"]["address"] == entry
    behaviour.statuses = [403]
    with pytest.raises(SourceError, match=r"token=\$\{BDD_T\} answered 403"):
        identities(given, "images")
    behaviour.location = "http://127.0.0.1:9/tok3n-of-mine"
    with pytest.raises(SourceError) as fault:
        identities(recipe.parse({"source": {"images": [entry.replace("files", "other")]}}), "images")
    assert "tok3n" not in str(fault.value)


@pytest.mark.parametrize("entry", ["https://me:hunter2@h:port/a", "s3://me:hunter2@h/a", "https://me:hun/ter2@h/a"])
def test_a_fault_of_the_recipe_shows_no_secret(entry, tmp_path, capsys):
    with pytest.raises(RecipeError) as fault:
        recipe.load(recipe.RECIPES / "sample.yaml", {"source.images": f"[{entry}]"})
    assert "ter2" not in str(fault.value) + str(fault.value.faults)


def test_a_recipe_that_was_stored_gets_its_secrets_from_its_file(tmp_path):
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps({"source": {"images": ["https://tok3n@h/a"]}}))
    stored = recipe.load(file).model_dump(mode="json", exclude_unset=True)
    assert stored["source"]["images"] == ["https://***@h/a"]
    assert recipe.load(file, content=stored).source.images == ["https://tok3n@h/a"]
    file.write_text("{}")
    with pytest.raises(RecipeError, match=r"source\.images\.0: the secret of https://\*\*\*@h/a is not stored: it may"):
        recipe.load(file, content=stored)
