"""Files of a conversation as documents: read, placed in the prompt, cited.

file part -> library (read, kept) -> conversation (text of the turn, marks)
          -> prompt (tokens of pages) -> answers (quotes found on them)
"""
