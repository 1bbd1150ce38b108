"""A plain training loop of the vision network, for short runs without resuming."""

import torch
from torch import nn

from training import schedule
from training.vision.losses import total
from training.vision.plan import PLAN


def fit(network, source, share_at, device="cpu", distil=None, rate=1.0):
    """Train in place until `share_at(step)` reaches 1; returns the number of steps.

    source: `BatchSource`, asked for steps 0, 1, ...; rate: factor on stage 1's rates.
    """
    from training.vision.train import optimizer_of, to_device
    network.to(device).train()
    optimizer = optimizer_of(network, distil)
    step = 0
    while (share := share_at(step)) < 1:
        schedule.set_rate(optimizer, rate * schedule.rate_at(share))
        batch = source.batch(step)
        group = PLAN[batch["name"]].group
        batch = to_device(batch | ({"class_head": f"class_{group}"} if group else {}), device)
        with torch.autocast("cuda", torch.bfloat16, enabled=device.startswith("cuda")):
            loss = sum(total(network, batch, distil).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        step += 1
    return step
