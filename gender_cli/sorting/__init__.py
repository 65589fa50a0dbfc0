"""Sorts pictures into folders, resumes and undoes it."""
