"""Stage 2: MiniLM, fine-tuned to find tools for queries.

Invariant: the checkpoint is a function of the texts, the pairs, MiniLM's weights and the settings;
held-out queries are only measured with.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

import contrast
import settings
from corpus import Corpus
from minilm import DEVICE, MiniLM, embed, load_tokenizer, tokenize
from onnx_weights import read_onnx
from progress import Progress
from texts import INVENTED

# Texts that go through the network together: while training, and while measuring.
TRAINED, MEASURED = 128, 256
WARM_UP = 20
WEIGHT_DECAY = 0.01
# The scale of the cosines is learned too, beginning with 20.
FIRST_SCALE, SCALE_RATE = 20.0, 1e-3


def optimizer(
    network: MiniLM, scale: nn.Parameter, rate: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW, with a short rise of the rate and a long fall to almost nothing."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    adam = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": WEIGHT_DECAY},
            {"params": others, "weight_decay": 0},
            {"params": [scale], "lr": SCALE_RATE, "weight_decay": 0},
        ],
        lr=rate,
    )
    return adam, torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: min(1, (step + 1) / WARM_UP) * (1 - 0.97 * step / steps)
    )


def train(out: Path, minilm: Path, number: int) -> None:
    """Trains the teacher `number` and writes it to `OUT/teacher-NUMBER.safetensors`."""
    name = f"teacher-{number}"
    numbers = settings.Teacher(**settings.read(out, name))
    torch.manual_seed(numbers.seed)
    random = np.random.default_rng(numbers.seed)
    corpus = Corpus(out)
    print(f"{name}: {corpus.describe()}; on {DEVICE}", flush=True)
    training = corpus.training
    if not numbers.invented:
        training = training[corpus.catalogs[corpus.wanted[training]] != INVENTED]

    tokenizer = load_tokenizer(minilm)
    tools = tokenize(tokenizer, corpus.texts, numbers.tool_length)
    queries = tokenize(tokenizer, corpus.queries, numbers.query_length)

    def ids_of(query: int) -> list[int]:
        if random.random() >= numbers.typos:
            return queries[query]
        mistyped = contrast.mistype(corpus.queries[query], random)
        return tokenize(tokenizer, [mistyped], numbers.query_length)[0]

    network = MiniLM().to(DEVICE)
    network.load_state_dict(read_onnx(minilm / "model.onnx"))
    scale = nn.Parameter(torch.tensor(np.log(FIRST_SCALE), dtype=torch.float32, device=DEVICE))
    steps = numbers.epochs * contrast.steps_of_epoch(training, numbers.batch)
    adam, schedule = optimizer(network, scale, numbers.rate, steps)
    progress = Progress(out, name, steps)
    for _ in range(numbers.epochs):
        for batch in contrast.batches(corpus, training, numbers.batch, random):
            asked = embed(network, [ids_of(query) for query in batch.queries], TRAINED)
            offered = embed(network, [tools[tool] for tool in batch.tools], TRAINED)
            loss = contrast.loss(asked @ offered.T, scale, batch)
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            adam.step()
            schedule.step()
            progress.step(contrast=loss.item())
        with torch.no_grad():
            asked = embed(network, [queries[query] for query in corpus.held_out], MEASURED)
            offered = embed(network, tools, MEASURED)
        progress.measured(corpus.recall_at_5(asked.cpu().numpy(), offered.cpu().numpy()))
    weights = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
    save_file(weights, out / f"{name}.safetensors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--number", type=int, default=0)
    arguments = parser.parse_args()
    train(arguments.out, arguments.minilm, arguments.number)
