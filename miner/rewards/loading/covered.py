"""Architectures, by transformers' name, of which a test of ours compares every way to ask with plain transformers."""

DECODERS = frozenset({  # as classifiers, and as LMs that are asked
    "arcee", "biogpt", "bloom", "ctrl", "diffllama", "doge", "exaone4", "falcon", "gemma", "gemma2",
    "gemma3_text", "glm", "glm4", "gpt-sw3", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss", "helium",
    "hunyuan_v1_dense", "hunyuan_v1_moe", "jetmoe", "llama", "minimax", "ministral", "ministral3", "mistral",
    "mixtral", "modernbert-decoder", "mpt", "nemotron", "olmo", "olmo2", "olmo3", "openai-gpt", "opt",
    "persimmon", "phi", "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss", "smollm3",
    "stablelm", "starcoder2",
})  # fmt: skip
ENCODERS = frozenset({
    "albert", "bert", "big_bird", "camembert", "data2vec-text", "deberta", "deberta-v2", "distilbert",
    "electra", "ernie", "esm", "eurobert", "flaubert", "funnel", "gte", "ibert", "jina_embeddings_v3",
    "longformer", "megatron-bert", "mobilebert", "modernbert", "mpnet", "nomic_bert", "rembert", "roberta",
    "roberta-prelayernorm", "roc_bert", "roformer", "squeezebert",
})  # fmt: skip
ENCODER_DECODERS = frozenset({"t5"})  # that name the better answer; as classifiers none
