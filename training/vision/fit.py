"""A plain training loop of the vision network, for short runs without resuming."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from training import schedule
from training.vision.losses import total
from training.vision.train import Steps, optimizer_of, to_device

_FOREVER = 10**7


def fit(network, source, share_at, device="cpu", distil=None, rate=1.0, workers=0):
    """Train in place until `share_at(step)` reaches 1; returns the number of steps.

    source: `BatchSource`, asked for steps 0, 1, ...; rate: factor on stage 1's rates; workers:
    processes that prepare batches, which change nothing but the speed.
    """
    network.to(device).train()
    optimizer = optimizer_of(network, distil)
    batches = iter(DataLoader(Steps(source, 0, _FOREVER), batch_size=None, num_workers=workers,
                              prefetch_factor=4 if workers else None))
    step = 0
    while (share := share_at(step)) < 1:
        schedule.set_rate(optimizer, rate * schedule.rate_at(share))
        batch = to_device(next(batches), device)
        with torch.autocast("cuda", torch.bfloat16, enabled=device.startswith("cuda")):
            loss = sum(total(network, batch, distil).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        step += 1
    return step
