"""Views for people: the twin in three dimensions beside what the cameras see, in a file or in a
terminal."""
