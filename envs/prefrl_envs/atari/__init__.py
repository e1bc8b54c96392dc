"""Atari 2600 games on ALE's C++ vector environment: fast, endless, and without the score. Needs ale-py."""
