"""Fixed thresholds, written out: what routing without hurdles must decide, contact for contact."""

from eo_nodes.contracts.values import Verdict

FINAL_STAGE = 3


def decide(config, tap, plan, budget, mode, now_ns, *, deadline_ns=0, consumer="ground"):
    """(decision, accept, reject) on one tap; arguments as the confidence node knows them."""
    stage = min(max(tap.stage, 1), FINAL_STAGE)
    is_final = stage == FINAL_STAGE
    accept = config.accept[stage - 1]
    reject = accept if is_final else config.reject[stage - 1]
    barred = is_barred(config, plan, budget, mode, now_ns, deadline_ns, consumer)
    if tap.confidence >= accept or (barred and is_final):
        return Verdict.ANSWER, accept, reject
    if tap.confidence < reject and not barred:
        return Verdict.OFFLOAD, accept, reject
    return Verdict.CONTINUE, accept, reject


def is_barred(config, plan, budget, mode, now_ns, deadline_ns, consumer):
    """Whether nothing can be offloaded."""
    comes = plan is None or any(
        c.los_ns > now_ns and (not deadline_ns or c.aos_ns < deadline_ns) for c in plan.contacts)
    is_full = budget is not None and budget.budget_bytes < config.min_budget_bytes
    return mode == "safe" or consumer == "onboard" or not comes or is_full
