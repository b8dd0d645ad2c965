"""The dashboard and the alerts ask for metrics that exist, in Prometheus' language."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import Json, MakeApp
from servers import ROOT

FOLDER = ROOT / "leadapi/monitoring"
TOOL_IS_MISSING = "promtool is missing: apt-get install prometheus"
# What Grafana puts in the place of its variables.
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*"}

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def dashboard() -> Json:
    """The dashboard."""
    loaded: Json = orjson.loads((FOLDER / "grafana/dashboards/leadapi.json").read_bytes())
    return loaded


@pytest.fixture(scope="module")
def alerts() -> list[Json]:
    """The alerts."""
    yaml = pytest.importorskip("yaml", reason="PyYAML: it is missing: pip install -r tests/requirements.txt")
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    rules: list[Json] = group["rules"]
    return rules


def expressions(dashboard: Json) -> list[str]:
    """What the panels of the dashboard ask for."""
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def promtool(*arguments: Any) -> None:
    """Run promtool, which must find no fault."""
    if shutil.which("promtool") is None:
        pytest.skip(TOOL_IS_MISSING)
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_and_label_exists(make_app: MakeApp, dashboard: Json, alerts: list[Json]) -> None:
    app = make_app(DATABASE_URL="sqlite://", AUTO_MIGRATE="on", METRICS="on")
    client = app.test_client()
    client.get("/health")
    samples = [
        sample for family in text_string_to_metric_families(client.get("/metrics").text) for sample in family.samples
    ]
    names = {sample.name for sample in samples}
    labels = {label for sample in samples for label in sample.labels} | {"instance", "job"}

    for asked in [*expressions(dashboard), *(rule["expr"] for rule in alerts)]:
        assert set(re.findall(r"\bleadapi_\w+", asked)) <= names, asked
        grouped = ", ".join(re.findall(r"\bby \(([^)]+)\)", asked)).split(", ")
        assert set(re.findall(r"(\w+)=~?\"", asked)) | set(filter(None, grouped)) <= labels, asked


def test_there_are_five_alerts_that_say_what_to_do(alerts: list[Json]) -> None:
    assert len(alerts) == 5
    for alert in alerts:
        assert set(alert["annotations"]) == {"summary", "description"}
        assert alert["labels"]["severity"] in ("critical", "warning")


def test_no_panel_covers_another(dashboard: Json) -> None:
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(place["w"])
        for y in range(place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_promtool_accepts_the_configuration() -> None:
    promtool("check", "config", FOLDER / "prometheus.yml")


def test_the_alerts_fire_for_their_faults_only() -> None:
    promtool("test", "rules", Path(__file__).with_name("alerts_test.yml"))


def test_promtool_accepts_what_the_panels_ask_for(dashboard: Json, tmp_path: Path) -> None:
    rules = []
    for number, asked in enumerate(expressions(dashboard)):
        for variable, content in VARIABLES.items():
            asked = asked.replace(variable, content)  # noqa: PLW2901  # one after the other
        rules.append({"record": f"panel:{number}", "expr": asked})
    # JSON is YAML.
    file = tmp_path / "rules.yml"
    file.write_bytes(orjson.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    promtool("check", "rules", file)
