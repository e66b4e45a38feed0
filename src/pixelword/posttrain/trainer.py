"""TRL's GRPOTrainer for puzzles: made when they are needed, processed once, steered, watched and continued exactly.

What is changed, and where TRL's own code goes on:
    data          rows are numbers of prompts; puzzles are made in `_generate_and_score_completions`
    pictures      processed once per prompt (`Prompts`); pixels are put together per batch
    rewards       by the puzzle itself, gathered with everything that curriculum and monitor read
    flat groups   masked or refilled before TRL splits the generation
    gate          before the first update
    checkpoints   count only once they are whole, with the state of curriculum and monitor
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedModel, PrinterCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl.trainer.grpo_config import GRPOConfig

from pixelword.errors import ConfigError
from pixelword.posttrain import flat_groups as flat
from pixelword.posttrain.curriculum import Curriculum
from pixelword.posttrain.gate import Passed
from pixelword.posttrain.health import Finding, Monitor, Vitals
from pixelword.posttrain.once_per_prompt import OncePerPromptTrainer
from pixelword.posttrain.prompts import Prompts, read_prompt
from pixelword.posttrain.responses import Table, judge
from pixelword.posttrain.settings import PosttrainRecipe
from pixelword.posttrain.stream import PuzzleStream
from pixelword.train import checkpoints
from pixelword.train.muon import MuonAdamW
from pixelword.train.stages import write_json

logger = logging.getLogger(__name__)

STATE = "posttrain.json"
"""File of a checkpoint that holds what TRL does not know."""
GATE_ROWS = 4


def no_reward(**_: Any) -> list[float | None]:
    """Stands in TRL's list of reward functions; the puzzles themselves pay."""
    raise AssertionError("PuzzleTrainer._calculate_rewards pays")


class PuzzleTrainer(OncePerPromptTrainer):
    """GRPO on puzzles.

    Args:
        recipe: of the run.
        model, processing_class: as TRL takes them.
        stream: gives the puzzles.
        args: TRL's configuration, from `grpo_arguments`.
        others: of GRPOTrainer.
    """

    def __init__(
        self,
        recipe: PosttrainRecipe,
        model: PreTrainedModel,
        processing_class: Any,
        stream: PuzzleStream,
        args: GRPOConfig,
        **others: Any,
    ) -> None:
        generations = recipe.steps // recipe.steps_per_generation
        prompts = generations * recipe.grpo.prompts
        self.recipe, self.stream, self.grpo = recipe, stream, recipe.grpo
        self.curriculum = curriculum_of(recipe)
        self.monitor = Monitor()
        self.passed: Passed | None = None
        self.examinations: list[dict[str, Any]] = []
        self.next_refill = prompts  # numbers behind those of the run
        self.prompts, self.rows, self.table = Prompts(), list[int](), Table(torch.zeros(0, 9))
        self.watched = True
        super().__init__(
            model=model,
            reward_funcs=no_reward,
            args=args,
            train_dataset=Dataset.from_dict({"number": list(range(prompts))}),
            processing_class=processing_class,
            **others,
        )
        self.remove_callback(PrinterCallback)
        if not self.use_vllm:
            self.generation_config.use_cache = True  # a trained model's own setting often says no
        mine = recipe.grpo.prompts * recipe.grpo.group // self.accelerator.num_processes
        if recipe.grpo.flat_groups == "refill" and mine % recipe.grpo.group:
            raise ConfigError(
                "refilling needs whole groups on each process",
                got=f"{mine} responses a process, groups of {recipe.grpo.group}",
                fix="use a multiple of as many prompts as processes, or grpo.flat_groups: mask",
            )

    # Generation ------------------------------------------------------------------------------------------------

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> flat.Batch:
        """A generation for these numbers of prompts, scored, with its flat groups dealt with."""
        self.prompts = Prompts()
        batch = self.rolled_out([row["number"] for row in inputs])
        tables = [self.table]
        batch = self.settled(batch, tables)
        self.table = Table(torch.cat([table.values for table in tables]))
        self.watched = False
        success = self.table.mean("exact" if self.by_exact else "places")
        if self.curriculum is not None:
            self._metrics["train"]["curriculum/level"].append(self.curriculum.level)
            self.curriculum.learn(success)
        return batch

    @property
    def by_exact(self) -> bool:
        return self.recipe.curriculum is None or self.recipe.curriculum.success == "exact"

    def rolled_out(self, numbers: Sequence[int]) -> flat.Batch:
        """Responses to the prompts of these numbers, one for each time that a number stands there, scored by TRL."""
        made: dict[int, int] = {}
        for number in dict.fromkeys(numbers):
            level = self.curriculum.choose(self.recipe.seed, number) if self.curriculum is not None else 0
            puzzle = self.stream.puzzle(number, level)
            prompt = read_prompt(self.processing_class, puzzle, longest=self.grpo.max_prompt_tokens)
            made[number] = self.prompts.add(prompt)
        self.rows = [made[number] for number in numbers]
        rows = list(self.rows)
        if self.passed is None and not self.use_vllm:
            self.passed = self.gate(sorted(made.values())[:GATE_ROWS])
        batch: flat.Batch = super()._generate_and_score_completions(
            [{"prompt": self.prompts.known[row].puzzle.messages()} for row in rows]
        )
        if self.passed is None:
            self.passed = self.engine_gate(batch)
        batch["prompt_number"] = torch.tensor(rows, device=batch["completion_ids"].device)
        return batch

    def settled(self, batch: flat.Batch, tables: list[Table]) -> flat.Batch:
        """Refill and mask flat groups, as the recipe says; adds the tables of refills."""
        group, how = self.grpo.group, self.grpo.flat_groups
        found = flat.flat_groups(tables[0].column("total"), group)
        metrics = self._metrics["train"]
        metrics["flat_groups/share"].append(float(found.float().mean()))
        rounds = self.grpo.max_refills if how == "refill" else 0
        for _ in range(rounds):
            if not bool(found.any()):
                break
            batch, found = self.refilled(batch, found, tables)
        if how != "keep":
            mine = self.mine(found.repeat_interleave(group)).to(batch["advantages"].device)
            share = 1 - float(found.float().mean())
            per_response = self.loss_type in ("grpo", "dr_grpo")
            batch = flat.mask_rows(batch, mine, per_response_mean=per_response, share=share)
            tokens = (batch["completion_mask"] * batch["tool_mask"]).sum()
            batch["num_items_in_batch"] = self.accelerator.gather(tokens).sum()
            metrics["flat_groups/masked"].append(float(found.sum()))
        return batch

    def refilled(self, batch: flat.Batch, found: Tensor, tables: list[Table]) -> tuple[flat.Batch, Tensor]:
        """Overwrite flat groups of this process by groups of new prompts that are not flat."""
        group, ranks, rank = self.grpo.group, self.accelerator.num_processes, self.accelerator.process_index
        local = found.view(ranks, -1)
        count = int(local.sum(1).max())  # every process rolls out as many, so that gathering works
        first = self.next_refill + rank * count
        self.next_refill += ranks * count
        other = self.rolled_out([number for number in range(first, first + count) for _ in range(group)])
        tables.append(self.table)
        good = ~flat.flat_groups(self.table.column("total"), group).view(ranks, -1)
        places, left = found.clone().view(ranks, -1), 0
        for one in range(ranks):
            targets = local[one].nonzero()[:, 0].tolist()
            sources = good[one].nonzero()[:, 0].tolist()
            pairs = list(zip(targets, sources, strict=False))
            places[one, [target for target, _ in pairs]] = False
            left += len(pairs)
            if one == rank and pairs:
                batch = flat.overwrite_rows(
                    batch,
                    [target * group + place for target, _ in pairs for place in range(group)],
                    other,
                    [source * group + place for _, source in pairs for place in range(group)],
                    self._tokenizer.pad_token_id,
                )
        self._metrics["train"]["flat_groups/refilled"].append(float(left))
        return batch, places.view(-1)

    def mine(self, values: Tensor) -> Tensor:
        """The part of a gathered (R,) tensor that belongs to this process."""
        size = len(values) // self.accelerator.num_processes
        return values[self.accelerator.process_index * size :][:size]

    # Rewards ---------------------------------------------------------------------------------------------------

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: list[Any], completion_ids_list: list[list[int]]
    ) -> Tensor:
        """Total rewards (R, 1) of all processes; the rest of the table is kept."""
        puzzles = [self.prompts.known[row].puzzle for row in self.rows]
        texts = [completion[0]["content"] for completion in completions]
        lengths = [len(ids) for ids in completion_ids_list]
        cut = [ids[-1] not in self.eos_token_ids for ids in completion_ids_list]
        table = judge(puzzles, texts, lengths, cut)
        self.table = Table(self.accelerator.gather(table.values.to(self.accelerator.device)).cpu())
        for name in ("exact", "places", "form"):
            self._metrics["train"][f"jigsaw/{name}"].append(self.table.mean(name))
        return self.table.column("total")[:, None].float().to(self.accelerator.device)

    # Log, optimiser, checkpoints -------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        entropies = self._metrics["train"].get("entropy/all")
        if entropies and not self.watched:
            self.watched = True
            for finding in self.watch(fmean(entropies)):
                logger.warning("%s", finding)
        super().log(logs, start_time)

    def watch(self, entropy: float) -> list[Finding]:
        """Show the last generation to the monitor."""
        table = self.table
        return self.monitor.watch(
            Vitals(
                step=self.state.global_step,
                reward=table.mean("total"),
                form=table.mean("form"),
                readable=table.readable,
                exact=table.mean("exact"),
                places=table.mean("places"),
                chance_places=table.chance_places,
                entropy=entropy,
                length=table.mean("length"),
                longest=self.grpo.max_tokens,
                cut=table.mean("cut"),
                flat=float(flat.flat_groups(table.column("total"), self.grpo.group).float().mean()),
                same_answer=table.same_answer,
                pieces=table.mean("pieces"),
            )
        )

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.recipe.optimizer.name == "muon" and self.optimizer is None:
            decay = self.recipe.optimizer.weight_decay
            assert self.model is not None
            self.optimizer = MuonAdamW(self.model.named_parameters(), self.args.learning_rate, weight_decay=decay)
        made: torch.optim.Optimizer = super().create_optimizer()
        return made

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: it would ask the network."""

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # every process writes its random state
        if self.args.should_save:
            step = self.state.global_step
            folder = Path(str(self.args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{step}"
            write_json(folder / STATE, self.extra_state())
            checkpoints.finish(folder, step, self.args.world_size)

    def extra_state(self) -> dict[str, Any]:
        """What a restart needs and TRL does not keep."""
        return {
            "curriculum": None if self.curriculum is None else self.curriculum.state(),
            "next_refill": self.next_refill,
            "health": self.monitor.as_json(),
            "examinations": self.examinations,
            "gate": None if self.passed is None else self.passed.as_json(),
        }

    def restore(self, checkpoint: Path) -> None:
        """Take up the state of a checkpoint; weights and optimiser are TRL's part. The gate is passed anew."""
        state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        if self.curriculum is not None:
            self.curriculum.restore(state["curriculum"])
        self.next_refill, self.examinations = state["next_refill"], state["examinations"]
        for vitals in state["health"]["vitals"]:
            self.monitor.watch(Vitals(**vitals))


def curriculum_of(recipe: PosttrainRecipe) -> Curriculum | None:
    wanted = recipe.curriculum
    if wanted is None:
        return None
    return Curriculum(len(wanted.levels), wanted.low, wanted.high, wanted.step, wanted.start)
