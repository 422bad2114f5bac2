"""Questions to a person: what is asked, in which order, and how a terminal shows it."""
