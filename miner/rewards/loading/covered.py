"""Architectures, by transformers' name, of which a test of ours compares every way to ask with plain transformers."""

COVERED = frozenset({
    "albert", "arcee", "bert", "big_bird", "biogpt", "bloom", "camembert", "ctrl", "data2vec-text", "deberta",
    "deberta-v2", "diffllama", "distilbert", "doge", "electra", "ernie", "esm", "eurobert", "exaone4", "falcon",
    "flaubert", "funnel", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "gpt-sw3", "gpt2", "gpt_bigcode",
    "gpt_neo", "gpt_neox", "gpt_oss", "gte", "helium", "hunyuan_v1_dense", "hunyuan_v1_moe", "ibert", "jetmoe",
    "jina_embeddings_v3", "llama", "longformer", "megatron-bert", "minimax", "ministral", "ministral3",
    "mistral", "mixtral", "mobilebert", "modernbert", "modernbert-decoder", "mpnet", "mpt", "nemotron",
    "nomic_bert", "olmo", "olmo2", "olmo3", "openai-gpt", "opt", "persimmon", "phi", "phi3", "phimoe", "qwen2",
    "qwen2_moe", "qwen3", "qwen3_moe", "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer",
    "seed_oss", "smollm3", "squeezebert", "stablelm", "starcoder2",
})  # fmt: skip
