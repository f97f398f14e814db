"""The files of a folder, without those that .gitignore leaves out."""
