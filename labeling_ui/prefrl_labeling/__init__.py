"""The labeling window, itself a Labeler; it knows the store and the core types, nothing else.

The font is DejaVu Sans, free to use and share: fonts/LICENSE_DEJAVU.
"""
