"""Architectures, by transformers' name, of which a test of ours compares every way to ask with plain transformers."""

COVERED = frozenset({
    "albert", "arcee", "bert", "big_bird", "biogpt", "bloom", "camembert", "ctrl", "data2vec-text", "deberta",
    "deberta-v2", "diffllama", "distilbert", "doge", "electra", "ernie", "esm", "eurobert", "exaone4", "falcon",
    "flaubert", "funnel", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "gpt-sw3", "gpt2", "gpt_bigcode",
    "gpt_neo", "gpt_neox", "gpt_oss", "gte", "helium", "hunyuan_v1_dense", "hunyuan_v1_moe", "ibert", "jetmoe",
    "jina_embeddings_v3", "llama", "longformer", "megatron-bert", "minimax", "ministral", "ministral3",
    "mistral", "mixtral", "mobilebert", "modernbert", "qwen2", "qwen3", "roberta",
})  # fmt: skip
