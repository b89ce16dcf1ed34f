"""What a policy is about to do, drawn: its plans before they are followed, beside what it also might have said."""
