"""A respondent whose preferences, and where they are written, are planted: what the pipeline should find is known.

It is asked through rendered prompts like any model. Who it is, it reads from the system message, what it is asked from
the tokens of the slots. Its residual stream after block l at position q, as persona p reading task i, is

    x = written(p, i) (only in BAND at EVALUATED)  +  topic, tone and length of the text  +  offset of p  +  noise

Every planted direction is a column of a Hadamard matrix: columns are orthogonal, and each moves all features by the
same size, so that standardising features turns nothing, and population values have closed forms.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import hadamard
from transformers import AutoTokenizer

from benchmarks.planted.personas import PERSONAS, PlantedTasks, planted_tasks, standardised
from personascope.errors import DataError
from personascope.instruments.personas import Persona, load_personas, pick_personas
from personascope.models.backend import Outputs
from personascope.models.embedded import embedded_folder
from personascope.models.intervention import Intervention
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt

D_MODEL, N_LAYERS, BAND, EVALUATED = 64, 6, (2, 3, 4), "eot"
EVALUATION, SECOND, PRIVATE, IDENTITY, TOPIC, TONE, LENGTH, LOUD = (
    0,
    1,
    slice(2, 7),
    slice(7, 12),
    slice(12, 18),
    18,
    19,
    20,
)
"""Columns of the basis; the four from LOUD on have large noise."""
LOUD_SD, TOPIC_SD, TONE_GAIN, LENGTH_GAIN, OFFSET = 5.0, 1.5, 2.0, 1.5, 3.0
_TOPIC_SEED = 5

Coordinates = Float[np.ndarray, "persona task d_model"]
Writer = Callable[[np.ndarray, PlantedTasks], Coordinates]
"""From utilities (task, persona) to what is written, in coordinates of the basis."""


@cache
def basis() -> Float[np.ndarray, "d_model column"]:
    """Orthonormal columns of +-1/8, in random order and with random signs of the features."""
    rng = np.random.default_rng(3)
    signed = hadamard(D_MODEL) * rng.choice([-1, 1], D_MODEL)[:, None]
    return np.asarray(signed[:, rng.permutation(D_MODEL)] / np.sqrt(D_MODEL))


def noise_sd(quiet: Mapping[int, float] | None = None) -> Float[np.ndarray, " column"]:
    """Standard deviation of the noise along each column of the basis: 1, but for the loud ones and those given."""
    sd = np.ones(D_MODEL)
    sd[LOUD : LOUD + 4] = LOUD_SD
    for column, value in (quiet or {}).items():
        sd[column] = value
    return sd


def content(tasks: PlantedTasks) -> Float[np.ndarray, "task column"]:
    """What topic, tone and length of the texts write, in coordinates of the basis; the same for all personas."""
    found = np.zeros((len(tasks.topics), D_MODEL))
    n_dims = TOPIC.stop - TOPIC.start
    means = np.random.default_rng(_TOPIC_SEED).standard_normal((tasks.topics.max() + 1, n_dims))
    found[:, TOPIC] = TOPIC_SD * standardised(means[tasks.topics])
    found[:, TONE], found[:, LENGTH] = TONE_GAIN * tasks.tone, LENGTH_GAIN * tasks.words
    return found


@dataclass(frozen=True, eq=False)
class Chooser:
    """How it chooses: P(first) = logistic(u_first - u_second + order_bias + noise) of what is not refused.

    Args:
        utilities: in logits, shape (task, persona).
        order_bias: in logits, of each persona.
        label_mass: probability of answering with a label at all.
        noise_sd: of a logit that is drawn for each ordered pair once.
        refused: numbers of tasks that are refused when they stand first.
        refusal: with this probability.
        seed: of the noise.
    """

    utilities: Float[np.ndarray, "task persona"]
    order_bias: Sequence[float] = (0.0,) * len(PERSONAS)
    label_mass: float = 0.9
    noise_sd: float = 0.0
    refused: Sequence[int] = ()
    refusal: float = 0.0
    seed: int = 0

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """Log-odds of the first, and log-mass on both labels, for every (persona, first, second)."""
        u = self.utilities.T
        odds = u[:, :, None] - u[:, None, :] + np.asarray(self.order_bias)[: len(u), None, None]
        odds = odds + self.noise_sd * np.random.default_rng([self.seed, 7]).standard_normal(odds.shape)
        mass = np.full(odds.shape, np.log(self.label_mass))
        mass[:, list(self.refused), :] += np.log1p(-self.refusal)
        return odds, mass


@dataclass(frozen=True, eq=False)
class Stream:
    """What it writes.

    Args:
        written: the evaluation, (persona, task, column), in coordinates of the basis.
        offsets: where each persona sits, (persona, column).
        seed: of the noise, which is independent between layers and positions.
        noise: standard deviation along each column, (column,); that of `noise_sd` by default.
    """

    written: Coordinates
    offsets: Float[np.ndarray, "persona column"]
    seed: int = 0
    noise: Float[np.ndarray, " column"] = field(default_factory=noise_sd)

    def rows(self, tasks: PlantedTasks, layer: int, position: str) -> Coordinates:
        """The residual stream at one place, shape (persona, task, d_model)."""
        rng = np.random.default_rng([self.seed, layer, zlib.crc32(position.encode())])
        found = self.noise * rng.standard_normal(self.written.shape) + content(tasks) + self.offsets[:, None]
        if layer in BAND and position == EVALUATED:
            found = found + self.written
        return np.asarray(found @ basis().T)


def own_offsets(size: float = OFFSET) -> Float[np.ndarray, "persona column"]:
    """Every persona sits on a direction of its own."""
    found = np.zeros((len(PERSONAS), D_MODEL))
    found[:, IDENTITY] = size * np.eye(len(PERSONAS))
    return found


@dataclass(eq=False)
class PersonaRespondent:
    """The backend; `tokenizer` is a real one, so that plans are made as for any model."""

    chooser: Chooser
    stream: Stream
    tasks: PlantedTasks = field(default_factory=planted_tasks)
    name: str = "planted"
    n_layers: int = N_LAYERS
    d_model: int = D_MODEL
    interventions: list[Intervention] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokenizer: Any = planted_tokenizer()
        self._odds, self._mass = self.chooser.table()
        self._places: dict[tuple[int, str], np.ndarray] = {}
        self._who: dict[tuple[int, ...], int] = {}
        parts = (
            self._odds,
            self._mass,
            self.stream.written,
            self.stream.offsets,
            self.stream.noise,
            np.array(self.stream.seed),
        )
        self._hash = hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()

    def fingerprint(self) -> dict[str, str]:
        """A hash of all that is planted."""
        return {"weights": self._hash, "dtype": "float32"}

    def run(
        self,
        prompts: Sequence[Prompt],
        *,
        layers: Sequence[int] = (),
        positions: Sequence[str] = ("answer",),
        options: Options | None = None,
        interventions: Sequence[Intervention] = (),
    ) -> Outputs:
        """Answer choices between two tasks, and show the stream of a task alone."""
        if interventions or self.interventions:
            raise DataError("Planted respondents cannot be steered.", "", "Leave out the interventions.")
        persona = np.array([self.persona(prompt) for prompt in prompts])
        residuals = np.zeros((len(prompts), len(layers), len(positions), self.d_model), dtype=np.float32)
        if layers and positions:
            task = np.array([self.task(prompt, "item") for prompt in prompts])
            for i, layer in enumerate(layers):
                for j, position in enumerate(positions):
                    residuals[:, i, j] = self._place(layer, position)[persona, task]
        if options is None:
            return Outputs(torch.from_numpy(residuals), torch.zeros(len(prompts), 0), torch.zeros(len(prompts)))
        first, second = ([self.task(prompt, slot) for prompt in prompts] for slot in ("task_a", "task_b"))
        odds, mass = self._odds[persona, first, second], self._mass[persona, first, second]
        chosen = mass[:, None] - np.logaddexp(0.0, np.stack([-odds, odds], axis=1))
        in_order = chosen[:, [("A", "B").index(label) for label in options.labels]]
        return Outputs(
            torch.from_numpy(residuals),
            torch.from_numpy(in_order.astype(np.float32)),
            torch.from_numpy(np.log(-np.expm1(mass)).astype(np.float32)),
        )

    def persona(self, prompt: Prompt) -> int:
        """Who is asked: the persona whose system message stands before the task, the assistant where none does."""
        before = prompt.ids[: min(start for name, (start, _) in prompt.spans.items() if name != "eot")]
        if before not in self._who:
            text = self.tokenizer.decode(before)
            named = [
                number
                for number, persona in enumerate(choosers())
                if any(phrasing.system and phrasing.system in text for phrasing in persona.phrasings)
            ]
            self._who[before] = named[0] if named else 0
        return self._who[before]

    def task(self, prompt: Prompt, slot: str) -> int:
        """Which task stands in a slot, by its text.

        Raises:
            DataError: no such slot, or a text that is not one of the planted tasks.
        """
        if slot not in prompt.spans:
            raise DataError(f"A prompt without the slot {slot!r}: {prompt.text[-80:]!r}.", "", "Ask about one task.")
        start, stop = prompt.spans[slot]
        text = self.tokenizer.decode(prompt.ids[start:stop]).strip()
        if text not in self.tasks.number:
            raise DataError(f"Not a planted task: {text!r}.", "", "Ask about tasks of the planted pool.")
        return self.tasks.number[text]

    def _place(self, layer: int, position: str) -> np.ndarray:
        if (layer, position) not in self._places:
            self._places[layer, position] = self.stream.rows(self.tasks, layer, position)
        return self._places[layer, position]


@cache
def planted_tokenizer() -> Any:
    """That of SmolLM2."""
    return AutoTokenizer.from_pretrained(embedded_folder("smollm2"))


@cache
def choosers() -> tuple[Persona, ...]:
    """The built-in personas whose preferences are planted."""
    return tuple(pick_personas(load_personas(), list(PERSONAS)))
