"""The bundled models: their sizes, their names, and models read from files."""

import json
import re
from pathlib import Path

import pytest

from craton.kernel.errors import BadRequest, NotFound
from craton.silicon.architecture import Architecture, Experts, GroupedQuery
from craton.silicon.models import CONFIG_BYTES_MAX, Card, cards, find_card, find_model

TOLERANCE = 0.02
# 2.45 thousand million that its report cuts to 2.4 instead of rounding.
CUT = {"deepseek-v2-lite": 0.025}
# No published size of exactly what the card holds was found.
UNSIZED = {
    *("falcon-40b", "falcon-7b", "gemma-2-27b", "gemma-2-9b", "gemma-4-26b-a4b", "llama-3.2-1b"),
    *("llama-3.2-3b", "mimo-7b", "mistral-7b-v0.2", "mistral-7b-v0.3", "mpt-13b"),
    *("nemotron-3.5-lightning", "phi-3.5-mini", "phi-4-mini", "qwen2.5-14b", "qwen3-0.6b"),
    *("qwen3-1.7b", "qwen3-4b", "qwen3-vl-235b-a22b", "qwen3-vl-2b", "qwen3-vl-30b-a3b"),
    *("qwen3-vl-32b", "qwen3-vl-4b", "smollm2-360m", "step-3.7-flash"),
}

# As written in public tables of measurements, labs' model ids and leaderboards.
NAMES = {
    "llama-2-7b": "Llama-2-7b; Llama2-7B pre-training; meta-llama/Llama-2-7b-chat-hf",
    "llama-2-13b": "llama2-13b; Llama2-13B pre-training",
    "llama-2-70b": "llama2-70b-99; llama2-70b-99.9; llama2-70b; Llama-2-70b",
    "llama-3-8b": "Llama-3-8B; meta-llama/Meta-Llama-3-8B-Instruct; LLAMA3_8B",
    "llama-3-70b": "LLAMA3_70B; Llama-3-70B",
    "llama-3.1-8b": "llama3.1-8b; meta-llama/Llama-3.1-8B-Instruct; Llama 3.1 8B Instruct;"
    "nvidia/Llama-3.1-8B-Instruct-FP8; meta-llama/Meta-Llama-3.1-8B",
    "llama-3.1-70b": "Llama-3.1-70B pre-training; nvidia/Llama-3.1-70B-Instruct-FP8",
    "llama-3.1-405b": "llama3.1-405b; Llama-3-405B; meta-llama/Llama-3.1-405B-Instruct-FP8;"
    "amd/Llama-3.1-405B-Instruct-MXFP4-Preview",
    "llama-3.3-70b": "Llama-3.3-70B; meta-llama/Llama-3.3-70B-Instruct;"
    "deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
    "llama-4-scout": "meta-llama/Llama-4-Scout-17B-16E-Instruct; Llama 4 Scout 17B 16E Instruct",
    "llama-4-maverick": "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8",
    "mistral-7b": "mistralai/Mistral-7B-Instruct-v0.1; Mistral 7B",
    "mistral-7b-v0.3": "mistralai/Mistral-7B-Instruct-v0.3",
    "mixtral-8x7b": "mixtral-8x7b; mistralai/Mixtral-8x7B-Instruct-v0.1",
    "mixtral-8x22b": "mistralai/Mixtral-8x22B-v0.1",
    "qwen3-8b": "Qwen/Qwen3-8B; Qwen 3 8B; QWEN3_8B",
    "qwen3-14b": "Qwen/Qwen3-14B; Qwen 3 14B",
    "qwen3-32b": "Qwen/Qwen3-32B; nvidia/Qwen3-32B-NVFP4; Qwen/Qwen3-32B-FP8-Static-PerTensor",
    "qwen3-30b-a3b": "Qwen3_30B_a3B; Qwen/Qwen3-30B-A3B-Thinking-2507; Qwen 3 30B A3B Thinking",
    "qwen3-235b-a22b": "Qwen3_235B_a22B; Qwen/Qwen3-235B-A22B-Instruct-2507; Qwen3-235B-A22B",
    "qwen3-coder-480b-a35b": "Qwen/Qwen3-Coder-480B-A35B-Instruct; Qwen 3 Coder 480B A35B",
    "qwen3-coder-30b-a3b": "Qwen/Qwen3-Coder-30B-A3B-Instruct; Qwen 3 Coder 30B A3B",
    "qwen3-vl-8b": "Qwen/Qwen3-VL-8B-Instruct; Qwen 3 VL 8B Instruct",
    "qwen3.5-397b-a17b": "Qwen/Qwen3.5-397B-A17B",
    "gemma-3-12b": "google/gemma-3-12b-it; Gemma 3 12B",
    "gemma-3-27b": "google/gemma-3-27b-it; Gemma 3 27B",
    "gpt-oss-20b": "GPT-OSS-20B; openai/gpt-oss-20b",
    "gpt-oss-120b": "GPT OSS 120B; GPT-OSS-120B; openai/gpt-oss-120b",
    "deepseek-v3": "DeepSeekV3; deepseek-r1; nvidia/DeepSeek-R1-NVFP4; DeepSeek-R1-0528;"
    "deepseek-ai/DeepSeek-V3.1; nvidia/DeepSeek-V3.1-NVFP4; DeepSeek V3.1; DeepSeek-V3-0324",
    "deepseek-v3.2": "deepseek-ai/DeepSeek-V3.2; deepseek-ai/DeepSeek-V3.2-Exp",
    "kimi-k2": "Kimi_K2; moonshotai/Kimi-K2-Instruct; Kimi-K2-Instruct-0905",
    "glm-4.5": "zai-org/GLM-4.5-FP8",
    "glm-4.5-air": "zai-org/GLM-4.5-Air",
    "glm-5": "zhipuai/GLM-5; zai-org/GLM-5-FP8; nvidia/GLM-5-NVFP4",
    "minimax-m2.5": "MiniMaxAI/MiniMax-M2.5",
    "nemotron-3-nano": "Nemotron_3_Nano; nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "nemotron-3-super": "Nemotron_3_Super; nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-NVFP4",
    "nemotron-3-ultra": "Nemotron_3_Ultra",
    "nemotron-3.5-lightning": "Nemotron_3_5_Lightning",
    "nemotron-nano-12b-v2": "nvidia/NVIDIA-Nemotron-Nano-12B-v2-VL-BF16;"
    "NVIDIA Nemotron Nano 12B V2 VL",
    "gpt3-175b": "gpt3-175B; GPT3-175B pre-training; GPT-3 175B",
    "gpt3-23b": "GPT3-23B pre-training",
    "gpt3-46b": "GPT3-46B pre-training",
    "megatron-22b": "megatron-22B",
    "turing-530b": "turing-530B; MT-NLG 530B",
    "megatron-1t": "megatron-1T; Megatron GPT 1T",
    "bert-large": "HuggingFace BERT-Large Ph1 pre-training",
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct",
}


def sized() -> list[Card]:
    return [card for card in cards().values() if card.size is not None]


def test_each_card_is_read_and_says_where_its_keys_were_read() -> None:
    assert len(cards()) >= 90
    for name, card in cards().items():
        assert card.architecture().name == name
        assert re.search(r"https://|github\.com|PyPI", card.source), name


@pytest.mark.parametrize("card", sized(), ids=lambda card: card.name)
def test_a_card_has_as_many_parameters_as_the_model_is_published_to_have(card: Card) -> None:
    assert card.size is not None
    assert card.size.source
    assert card.architecture().parameters() == pytest.approx(card.size.total, rel=TOLERANCE)


def test_the_cards_without_a_published_size_are_these() -> None:
    assert {card.name for card in cards().values() if card.size is None} == UNSIZED


@pytest.mark.parametrize(
    "card", [card for card in sized() if card.size and card.size.active], ids=lambda card: card.name
)
def test_a_token_meets_as_many_parameters_as_published(card: Card) -> None:
    """Some count the embedding besides the output matrix, some neither; all round to a digit."""
    assert card.size is not None
    assert card.size.active is not None
    architecture = card.architecture()
    matrix = architecture.vocabulary * architecture.hidden
    counts = [architecture.active_parameters() + extra * matrix for extra in (-1, 0, 1)]
    published = card.size.active
    digit = next(10**power for power in (9, 8, 7, 6) if published % 10**power == 0)
    allowed = max(CUT.get(card.name, TOLERANCE) * published, digit / 2)
    assert min(abs(count - published) for count in counts) <= allowed


@pytest.mark.parametrize(
    ("name", "written"), [(name, one) for name, all_ in NAMES.items() for one in all_.split(";")]
)
def test_a_model_is_found_by_the_names_that_tables_use(name: str, written: str) -> None:
    assert find_card(written.strip()).name == name


def test_each_name_and_alias_finds_its_own_card() -> None:
    for name, card in cards().items():
        for written in (name, *card.aliases):
            assert find_card(written.upper().replace("-", "_")) is card
            assert find_card(f"lab/{written}-Instruct-2507-FP8") is card


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("llama-3.1-7b", "llama-3.1-70b"),
        ("qwen3-33b", "qwen3-32b"),
        ("gpt-oss", "gpt-oss-20b"),
        ("nvidia/Llama-3.1-Nemotron-70B", "llama-3.1-70b"),
    ],
)
def test_an_unknown_model_is_not_found_and_the_nearest_are_named(wrong: str, nearest: str) -> None:
    with pytest.raises(NotFound, match=nearest) as refused:
        find_model(wrong)
    assert "config.json" in refused.value.message


@pytest.mark.parametrize("wrong", ["", "/", "instruct", "\x00", "x" * 5000, "模型"])
def test_what_is_no_name_at_all_is_not_found(wrong: str) -> None:
    with pytest.raises(NotFound, match="No bundled model") as refused:
        find_model(wrong)
    assert len(refused.value.message) < 1000


CONFIG = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "intermediate_size": 160,
    "vocab_size": 100,
    "time_step_limit": [0.0, float("inf")],
}


def test_a_config_file_and_its_folder_are_read_under_the_folders_name(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    read = [find_model(str(folder)), find_model(folder), find_model(folder / "config.json")]
    assert {architecture.name for architecture in read} == {"my-model"}
    assert read[0].groups[0].mixer == GroupedQuery(8, 8, 8)
    other = folder / "other.JSON"
    other.write_text(json.dumps(CONFIG), encoding="utf-8")
    assert find_model(other).name == "other"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "isn't JSON"),
        ("[" * 100_000, "isn't JSON"),
        ("\xff", "isn't JSON"),
        ("[]", "no JSON object"),
        ("{}", "num_hidden_layers"),
        (" " * (CONFIG_BYTES_MAX + 1), "far smaller"),
    ],
)
def test_a_config_file_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(BadRequest, match=says):
        find_model(path)


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    for name in ("config.json", "model.gguf"):
        with pytest.raises(NotFound, match=name):
            find_model(tmp_path / name)


def experts_of(architecture: Architecture) -> Experts:
    return next(
        group.feed_forward
        for group in architecture.groups
        if isinstance(group.feed_forward, Experts)
    )


def test_the_models_whose_parts_matter_most_have_them() -> None:
    gpt_oss = find_model("gpt-oss-120b")
    assert experts_of(gpt_oss) == Experts(count=128, active=4, width=2880)
    assert {g.mixer.window for g in gpt_oss.groups if isinstance(g.mixer, GroupedQuery)} == {
        None,
        128,
    }
    deepseek = find_model("deepseek-r1")
    assert (deepseek.layers, deepseek.draft_layers) == (61, 1)
    assert experts_of(deepseek).shared_width == 2048
    assert experts_of(find_model("nemotron-3-super")).latent == 1024
    assert [group.count for group in find_model("qwen3.5-397b-a17b").groups] == [45, 15]
    assert [group.count for group in find_model("llama-4-maverick").groups] == [24, 12, 12]
