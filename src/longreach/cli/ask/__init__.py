"""Questions about documents: the answer, and where in the documents it stands."""
