"""A recipe as TRL's and transformers' arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainingArguments
from trl.trainer.grpo_config import GRPOConfig

from pixelword.errors import ConfigError
from pixelword.posttrain.settings import Algorithm, PosttrainRecipe

ALGORITHMS: dict[Algorithm, dict[str, Any]] = {
    # DeepSeekMath (arXiv 2402.03300): mean of a response, then of responses; clip 0.2.
    "grpo": {"loss_type": "grpo", "epsilon": 0.2, "epsilon_high": 0.2, "scale_rewards": "group"},
    # DAPO (arXiv 2503.14476): one mean over all tokens, clip-higher 0.28, cut-off responses are left out.
    "dapo": {
        "loss_type": "dapo",
        "epsilon": 0.2,
        "epsilon_high": 0.28,
        "scale_rewards": "group",
        "mask_truncated_completions": True,
    },
    # Dr. GRPO (arXiv 2503.20783): neither the group's deviation nor a response's length divides.
    "dr_grpo": {"loss_type": "dr_grpo", "epsilon": 0.2, "epsilon_high": 0.2, "scale_rewards": "none"},
    # GSPO (arXiv 2507.18071): one ratio for a response, clipped far tighter (section 5.1).
    "gspo": {
        "loss_type": "grpo",
        "importance_sampling_level": "sequence",
        "epsilon": 3e-4,
        "epsilon_high": 4e-4,
        "scale_rewards": "group",
    },
}
"""What each algorithm means in TRL's arguments."""


CHECKPOINTING = next(
    name
    for name in ("activation_checkpointing", "gradient_checkpointing")
    if name in TrainingArguments.__dataclass_fields__
)
"""transformers renamed it and warns of the old name."""


def shared_arguments(recipe: PosttrainRecipe, folder: Path, *, cpu: bool) -> dict[str, Any]:
    """What GRPO and SFT have in common."""
    optimizer = recipe.optimizer
    cosine = optimizer.schedule == "cosine"
    return {
        "output_dir": str(folder),
        "max_steps": recipe.steps,
        "learning_rate": optimizer.rate,
        "adam_beta1": optimizer.betas[0],
        "adam_beta2": optimizer.betas[1],
        "adam_epsilon": optimizer.eps,
        "weight_decay": optimizer.weight_decay,
        "max_grad_norm": optimizer.clip or 0.0,
        "lr_scheduler_type": "cosine_with_min_lr" if cosine else "constant_with_warmup",
        "lr_scheduler_kwargs": {"min_lr_rate": optimizer.min_rate_share} if cosine else {},
        "warmup_steps": optimizer.warmup_steps,
        "bf16": recipe.model.autocast,
        CHECKPOINTING: recipe.checkpointing,
        "use_cpu": cpu,
        "dataloader_pin_memory": not cpu,
        "dataloader_num_workers": 0,  # nothing is made ahead of time, or the curriculum would steer too late
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": recipe.save_every,
        "save_total_limit": recipe.keep,
        "seed": recipe.seed,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "report_to": "none",
    }


def grpo_arguments(recipe: PosttrainRecipe, folder: Path, *, cpu: bool, ranks: int) -> GRPOConfig:
    """TRL's configuration.

    Args:
        cpu: train on the CPU although there may be a GPU.
        ranks: processes that share a generation.

    Raises:
        ConfigError: the generation cannot be shared by so many.
    """
    grpo = recipe.grpo
    rows = grpo.prompts * grpo.group
    if rows % (grpo.rows_per_batch * ranks * grpo.updates):
        raise ConfigError(
            "a generation cannot be shared out evenly",
            got=f"{rows} responses, {ranks} processes x {grpo.updates} updates x rows_per_batch {grpo.rows_per_batch}",
            fix="make grpo.prompts x grpo.group a multiple of these",
        )
    batches = rows // (grpo.rows_per_batch * ranks)
    algorithm = dict(ALGORITHMS[grpo.algorithm])
    given = {"loss_type": grpo.loss, "epsilon": grpo.clip, "epsilon_high": grpo.clip_high}
    algorithm |= {name: value for name, value in given.items() if value is not None}
    if grpo.clip is not None and grpo.clip_high is None:
        algorithm["epsilon_high"] = grpo.clip
    return GRPOConfig(
        **shared_arguments(recipe, folder, cpu=cpu),
        **algorithm,
        per_device_train_batch_size=grpo.rows_per_batch,
        steps_per_generation=batches,
        gradient_accumulation_steps=batches // grpo.updates,
        num_iterations=grpo.passes,
        num_generations=grpo.group,
        max_completion_length=grpo.max_tokens,
        temperature=grpo.temperature,
        beta=grpo.kl,
        entropy_coef=grpo.entropy_bonus,
        shuffle_dataset=False,  # the stream orders
        use_vllm=grpo.vllm != "off",
        vllm_mode=grpo.vllm if grpo.vllm != "off" else "colocate",
        vllm_gpu_memory_utilization=grpo.vllm_memory,
        vllm_server_base_url=grpo.vllm_url if grpo.vllm == "server" else None,
        vllm_max_model_length=grpo.max_prompt_tokens + grpo.max_tokens,
    )


def sft_arguments(recipe: PosttrainRecipe, folder: Path, *, cpu: bool, ranks: int) -> TrainingArguments:
    """The Trainer's arguments.

    Raises:
        ConfigError: the batch cannot be shared by so many processes.
    """
    sft = recipe.sft
    if sft.puzzles % (sft.rows_per_batch * ranks):
        raise ConfigError(
            "a step cannot be shared out evenly",
            got=f"{sft.puzzles} puzzles, {ranks} processes x rows_per_batch {sft.rows_per_batch}",
            fix="make sft.puzzles a multiple of these",
        )
    return TrainingArguments(
        **shared_arguments(recipe, folder, cpu=cpu),
        per_device_train_batch_size=sft.rows_per_batch,
        gradient_accumulation_steps=sft.puzzles // (sft.rows_per_batch * ranks),
    )
