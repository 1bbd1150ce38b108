"""What may be set: one name in parameters, telecommands and the study's table."""

import json
from array import array
from dataclasses import fields, replace

import pytest

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import Tap, Verdict
from eo_nodes.decision.router import Outlook, Router, RouterConfig
from eo_nodes.decision.routing import RoutingConfig
from eo_nodes.decision.setting import routing_as_plain, routing_of, with_thresholds

TAP = Tap(request_id="r", stage=3, confidence=0.9)


def test_routing_survives_json_and_the_arrays_of_parameters():
    config = RoutingConfig(
        accept=(1.01, 0.9, 0.8), hurdle=(0.3, 0.2, 0.1), mb_price=8.0, min_budget_bytes=7,
        needs_delivery=False, kinds=("lossy", "regions"))
    plain = json.loads(json.dumps(routing_as_plain(config)))
    assert set(plain) == {f.name for f in fields(RoutingConfig)}
    assert routing_of(plain) == config
    assert routing_of({"hurdle": array("d", [0.3, 0.2, 0.1])}).hurdle == (0.3, 0.2, 0.1)
    assert routing_of({}) == RoutingConfig()


def test_thresholds_of_both_policies_by_command():
    config = with_thresholds(RouterConfig(), {
        "policy": "fixed", "target": "alike", "gate_accept": [0.9, 0.8, 0.7],
        "gate_reject": [0.1, 0.2], "accept": [1, 0.9, 0.8], "hurdle": [0.3, 0.2, 0.1],
        "mb_price": 2, "delay_price": 0.0, "serves_late": False, "kinds": ["lossy"]})
    assert (config.policy, config.target) == ("fixed", "alike")
    assert (config.gate.accept, config.gate.reject) == ((0.9, 0.8, 0.7), (0.1, 0.2))
    assert config.routing == replace(
        RoutingConfig(), accept=(1.0, 0.9, 0.8), hurdle=(0.3, 0.2, 0.1), mb_price=2.0,
        delay_price=0.0, serves_late=False, kinds=("lossy",))


@pytest.mark.parametrize(
    "wanted",
    [{}, {"accept": [0.9, 0.8]}, {"gate_accept": [0.9, 0.8, 1.1]}, {"gate_reject": [0.99, 0.99]},
     {"accept": "high"}, {"hurdle": [0.1, None, 0.1]}, {"hurdle": [True, 0.1, 0.1]},
     {"accept": [0.1, float("nan"), 0.1]}, {"mb_price": -1}, {"mb_price": [1]},
     {"mb_price": float("inf")}, {"policy": "random"}, {"target": 3}, {"limit": 1},
     {"serves_late": 1}, {"kinds": "lossy"}, {"kinds": ["loud"]}, {"kinds": [1]},
     {"reject": [0.99, 0, 0]}],
)  # fmt: skip
def test_bad_thresholds_are_refused_and_change_nothing(wanted):
    config = RouterConfig()
    with pytest.raises(ConfigError):
        with_thresholds(config, wanted)
    assert config == RouterConfig()


def test_gate_thresholds_take_effect_at_once():
    own = Router(RouterConfig())
    assert own.decide(TAP, None, Outlook(), 0).decision == Verdict.ANSWER
    own.config = with_thresholds(own.config, {"gate_accept": [0.99, 0.99, 0.95]})
    assert own.decide(TAP, None, Outlook(), 0).decision == Verdict.OFFLOAD
