"""Files of a conversation as documents: read, placed in the prompt, cited.

file part -> library (read once, kept) -> conversation (text of the turn, marks)
          -> prompt (tokens of pages) -> finder (quotes found on them) -> sources
shelf: the uploaded ones of a caller, for /v1/documents.
"""
