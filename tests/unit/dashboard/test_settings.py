"""Settings from the environment."""

import pytest

from penstock_dashboard.settings import Settings, SettingsError, load


def test_defaults() -> None:
    assert load({}) == Settings()


def test_everything_set() -> None:
    settings = load(
        {
            "PENSTOCK_DASHBOARD_ADDRESS": "[::1]:0",
            "PENSTOCK_DASHBOARD_GATEWAY_HTTP": "https://penstock.example:7070/",
            "PENSTOCK_DASHBOARD_GATEWAY_GRPC": "penstock.example:7071",
            "PENSTOCK_DASHBOARD_EXIT_WITH_PARENT": "1",
        }
    )
    assert settings == Settings("::1", 0, "https://penstock.example:7070", "penstock.example:7071", False, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ADDRESS", "7072"),
        ("ADDRESS", "127.0.0.1:x"),
        ("ADDRESS", "127.0.0.1:65536"),
        ("ADDRESS", "0.0.0.0:7072"),
        ("ADDRESS", "penstock.example:7072"),
        ("GATEWAY_HTTP", "127.0.0.1:7070"),
        ("EXIT_WITH_PARENT", "perhaps"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"PENSTOCK_DASHBOARD_{name}"):
        load({f"PENSTOCK_DASHBOARD_{name}": value})


def test_off_loopback_must_be_asked_for() -> None:
    settings = load({"PENSTOCK_DASHBOARD_ADDRESS": "0.0.0.0:7072", "PENSTOCK_DASHBOARD_INSECURE_OFF_LOOPBACK": "1"})
    assert settings.host == "0.0.0.0"
