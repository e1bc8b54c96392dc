"""Writes documents, prompts or demonstrations as JSON lines: `python -m prefrl_envs.tiny_instruct prompts --n 5`."""

import argparse
import json

import numpy as np

from prefrl_envs.tiny_instruct import demonstration, documents, prompts


def main() -> None:
    """Write the lines to standard output."""
    parser = argparse.ArgumentParser(prog="python -m prefrl_envs.tiny_instruct", description=__doc__)
    parser.add_argument("what", choices=("documents", "prompts", "demonstrations"))
    parser.add_argument("--n", type=int, required=True, help="how many lines")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="train", help="not for documents")
    args = parser.parse_args()
    if args.n < 0 or args.seed < 0:
        parser.error(f"--n and --seed must be at least 0, got {args.n} and {args.seed}")
    rng = np.random.default_rng(args.seed)
    if args.what == "documents":
        lines = [{"text": document} for document in documents(args.n, rng)]
    else:
        asked = prompts(args.n, rng, args.split)
        if args.what == "prompts":
            lines = [{"prompt": prompt.text, "kind": prompt.kind, "customer": prompt.customer} for prompt in asked]
        else:
            lines = [{"prompt": prompt.text, "answer": demonstration(prompt, rng)} for prompt in asked]
    for line in lines:
        print(json.dumps(line))


if __name__ == "__main__":
    main()
