"""TRL's GRPOTrainer with prompts that are processed once, whatever the number of responses to them.

TRL repeats a row for each response, runs the processor on every repeat (twice), and keeps all their pixels for the
whole generation. Here a row is a number of a prompt in `Prompts`; the rollout goes in portions of fixed size, and
pixels are put together for the rows of one portion or batch. Memory does not grow with the size of the groups.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from trl.trainer.grpo_trainer import GRPOTrainer

from pixelword.model import NeoForConditionalGeneration
from pixelword.posttrain.gate import Passed, check_pictures, compare, rollout_logps
from pixelword.posttrain.prompts import Prompts
from pixelword.posttrain.settings import GrpoSettings
from pixelword.posttrain.shared_prefix import generate_shared, packed_logps
from pixelword.posttrain.side_by_side import Sampling, is_worth_it, sample_side_by_side

logger = logging.getLogger(__name__)

Batch = dict[str, Any]


class OncePerPromptTrainer(GRPOTrainer):
    """GRPO whose batches name their prompts by number.

    Attributes:
        grpo: settings.
        prompts: of the current generation.
        rows: number of the prompt of each row that is being computed.
    """

    grpo: GrpoSettings
    prompts: Prompts
    rows: list[int]

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return self.prompts.ids(self.rows), None, {}

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: Any, has_tool_images: Any = False
    ) -> tuple[list[list[int]], Any]:
        """In portions of `rollout_rows`, each with the pixels of its rows alone, so that memory does not grow."""
        if self.use_vllm:
            pictures = self.prompts.pictures(self.rows)
            made: tuple[list[list[int]], Any] = super()._generate_single_turn(prompt_ids, pictures, {}, num_generations)
            return made
        responses: list[list[int]] = []
        size = self.grpo.rollout_rows
        for start in range(0, len(prompt_ids), size):
            rows = self.rows[start : start + size]
            neo = self.sharing_model
            responses += self.unshared(rows, num_generations) if neo is None else self.shared(neo, rows)
        return responses, None

    @property
    def sharing_model(self) -> NeoForConditionalGeneration | None:
        """The model, where it computes a prompt once for all responses to it; None elsewhere."""
        model, alone = self.model, self.accelerator.num_processes == 1
        shares = self.grpo.share_prompts and alone and isinstance(model, NeoForConditionalGeneration)
        return model if shares and isinstance(model, NeoForConditionalGeneration) else None

    def shared(self, neo: NeoForConditionalGeneration, rows: Sequence[int]) -> list[list[int]]:
        if is_worth_it(neo, self.prompts, rows, self.grpo.max_tokens):
            with self.accelerator.autocast():
                made, _, _ = sample_side_by_side(neo, self.prompts, rows, self.sampling)
            return [until_end(answer, self.eos_token_ids) for answer in made.tolist()]
        ids, length = generate_shared(neo, self.prompts, rows, self._tokenizer.pad_token_id, self.generation_config)
        answers: list[list[int]] = ids[:, length:].tolist()
        return [until_end(answer, self.eos_token_ids) for answer in answers]

    @property
    def sampling(self) -> Sampling:
        """The settings of TRL's generation, for the path that does without `generate()`."""
        never = self.generation_config.suppress_tokens or ()
        pad = self._tokenizer.pad_token_id
        return Sampling(self.grpo.max_tokens, self.temperature, self.eos_token_ids, never, pad)

    def unshared(self, rows: Sequence[int], num_generations: int) -> list[list[int]]:
        ids = self.prompts.ids(rows)
        fields = self.prompts.fields(rows, max(map(len, ids)), 0, torch.device("cpu"))
        del fields["num_images"]
        fields.pop("num_tiles", None)
        with torch.compiler.set_stance("force_eager"):
            made: list[list[int]] = super()._generate_single_turn(ids, None, fields, num_generations)[0]
        return made

    def _compute_loss(self, model: nn.Module, inputs: Batch) -> Tensor:
        self.rows = inputs["prompt_number"].tolist()
        loss: Tensor = super()._compute_loss(model, inputs)
        return loss

    def _get_per_token_logps_and_entropies(
        self,
        model: nn.Module,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **others: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """TRL's, batch by batch, with the pixels of the batch's rows."""
        rows, size = self.rows, batch_size or len(self.rows)
        parts = [
            self.logps_of(
                model,
                rows[start : start + size],
                input_ids[start : start + size],
                attention_mask[start : start + size],
                logits_to_keep,
                **others,
            )
            for start in range(0, len(rows), size)
        ]
        logps, entropies, extra = zip(*parts, strict=True)
        known = [one for one in extra if one is not None]
        if others.get("compute_entropy"):  # TRL's own mean leaves out masked rows, and with them the flat groups
            mask = attention_mask[:, -logits_to_keep:]
            sums = torch.stack([(torch.cat(entropies).detach() * mask).sum(), mask.sum()])
            total, count = self.accelerator.reduce(sums, reduction="sum").tolist()
            self._metrics["train"]["entropy/all"].append(total / max(count, 1))
        return (
            torch.cat(logps),
            torch.cat(entropies) if others.get("compute_entropy") else None,
            torch.stack(known).mean() if known else None,
        )

    def logps_of(
        self, model: nn.Module, rows: list[int], ids: Tensor, mask: Tensor, keep: int, **others: Any
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        neo = self.sharing_model
        if neo is not None and model is neo:
            with self.accelerator.autocast():
                logps, entropies = packed_logps(
                    neo, self.prompts, rows, ids[:, -keep:], mask[:, -keep:], self.temperature
                )
            return logps, entropies, None
        known = inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters
        fields = self.prompts.fields(rows, ids.shape[1] - keep, keep, ids.device)
        media = {name: value for name, value in fields.items() if name in known}
        asked = {name: others[name] for name in ("compute_entropy", "compute_aux_loss") if name in others}
        made: tuple[Tensor, Tensor | None, Tensor | None] = super()._get_per_token_logps_and_entropies(
            model, ids, mask, keep, **asked, **media
        )
        return made

    def gate(self, rows: list[int]) -> Passed:
        """Compare the rollout's path with the trainer's on a response to each of a few prompts."""
        pictures = check_pictures([self.prompts.known[row] for row in rows], self.processing_class)
        assert self.model is not None
        model = self.accelerator.unwrap_model(self.model)
        pad = self._tokenizer.pad_token_id
        neo = self.sharing_model
        with torch.random.fork_rng(enabled=True):
            inputs = self.prompts.padded(rows, pad, model.device)
            if neo is not None and is_worth_it(neo, self.prompts, rows, self.grpo.max_tokens):
                with self.accelerator.autocast():
                    ids, logps, mask = sample_side_by_side(neo, self.prompts, rows, self.sampling)
            else:
                ids, logps, mask = rollout_logps(
                    model, inputs, self.generation_config, self.temperature, self.eos_token_ids
                )
        before, self.rows = self.rows, rows
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            trainer = self._get_per_token_logps_and_entropies(
                self.model,
                torch.cat((inputs["input_ids"], ids), 1),
                torch.cat((inputs["attention_mask"], mask), 1),
                ids.shape[1],
            )[0]
        self.rows = before
        passed = compare(logps, trainer, mask, self.grpo.gate_tolerance, pictures)
        logger.info(
            "gate: %d tokens differ by %.2g nats on average, %.2g at most", *list(passed.as_json().values())[:3]
        )
        return passed

    def engine_gate(self, batch: Batch) -> Passed:
        """The same for a rollout engine that reports log-probabilities."""
        pictures = check_pictures([self.prompts.known[row] for row in dict.fromkeys(self.rows)], self.processing_class)
        return compare(
            batch["sampling_per_token_logps"],
            batch["old_per_token_logps"],
            batch["completion_mask"],
            self.grpo.gate_tolerance,
            pictures,
        )


def until_end(ids: list[int], ends: Sequence[int]) -> list[int]:
    """The ids up to and with the first end."""
    return ids[: next((place + 1 for place, token in enumerate(ids) if token in ends), len(ids))]
