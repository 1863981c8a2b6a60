"""deploy/: units that systemd takes, containers that run what is installed, settings that the code reads."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
HOME = "/opt/bdd-mask-rcnn"
OF_OTHERS = {"BDD_POSTGRES_PASSWORD"}
"""Variables that Dagster and PostgreSQL read, of deploy/dagster.yaml."""


def read_by_the_code() -> set[str]:
    code = [path.read_text("utf-8") for folder in ("assets", "pipeline") for path in (ROOT / folder).rglob("*.py")]
    return set(re.findall(r"\bBDD_[A-Z_]+", "\n".join(code)))


def settings(unit: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in unit.read_text("utf-8").splitlines() if "=" in line and line[0] != "#")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_what_is_installed_and_may_write_only_the_data(unit):
    said = settings(unit)
    program, *arguments = said["ExecStart"].removeprefix(f"{HOME}/.venv/bin/").split()
    assert Path(sys.prefix, "bin", program).exists()
    assert said["WorkingDirectory"] == said["Environment"].removeprefix("DAGSTER_HOME=") == HOME
    assert (said["ProtectSystem"], said["ReadWritePaths"], said["User"]) == ("strict", f"{HOME}/data", "bdd")
    assert "-h" not in arguments or arguments[arguments.index("-h") + 1] == "127.0.0.1"
    assert (ROOT / arguments[arguments.index("-w") + 1]).exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd to ask")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_no_fault(unit, tmp_path):
    here = unit.read_text("utf-8").replace(f"{HOME}/.venv/bin", f"{sys.prefix}/bin").replace(HOME, str(ROOT))
    (tmp_path / unit.name).write_text(here.replace("User=bdd\n", ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / unit.name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_containers_are_reached_from_this_machine_alone():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    assert {port for service in services.values() for port in service.get("ports", [])} == {"127.0.0.1:3000:3000"}
    for name in ("webserver", "daemon"):
        assert Path(
            sys.prefix, "bin", services[name]["command"][0] if "command" in services[name] else "dagster-daemon"
        ).exists()
        assert services[name]["environment"].keys() >= {"BDD_RECIPE", "DAGSTER_HOME"}
    gpu = yaml.safe_load((DEPLOY / "compose.gpu.yaml").read_text("utf-8"))["services"]
    assert gpu.keys() <= services.keys()
    docker = (DEPLOY / "Dockerfile").read_text("utf-8")
    targets = [*re.findall(r"^ARG TARGET=(\w+)$", docker, re.MULTILINE), gpu["daemon"]["build"]["args"]["TARGET"]]
    assert all(f"\n{target}: " in (ROOT / "Makefile").read_text("utf-8") for target in targets)


def test_the_ui_reaches_the_daemon_s_runs_to_cancel_them():
    assert settings(DEPLOY / "bdd-webserver.service")["JoinsNamespaceOf"] == "bdd-daemon.service"
    assert "KillMode" not in settings(DEPLOY / "bdd-daemon.service")
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    assert all("sockets:/tmp" in services[name]["volumes"] for name in ("webserver", "daemon"))
    gpu = yaml.safe_load((DEPLOY / "compose.gpu.yaml").read_text("utf-8"))["services"]["daemon"]
    assert gpu["image"] != services["webserver"]["image"]


@pytest.mark.parametrize("file", ["bdd-mask-rcnn.env", "compose.yaml", "dagster.yaml", "../docs/nightly.md"])
def test_every_variable_is_one_that_the_code_reads(file):
    named = set(re.findall(r"\bBDD_[A-Z_]+", (DEPLOY / file).read_text("utf-8")))
    assert named - OF_OTHERS <= read_by_the_code()
    assert named


@pytest.mark.parametrize(("folder", "storage"), [(DEPLOY, "PostgresRunStorage"), (ROOT, "SqliteRunStorage")])
def test_dagster_takes_its_settings(folder, storage, tmp_path):
    shutil.copy(folder / "dagster.yaml", tmp_path)
    assert InstanceRef.from_dir(str(tmp_path)).run_storage_data.class_name == storage
