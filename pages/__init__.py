"""Numbers in, pictures and pages out: it knows matplotlib and HTML, and no store."""
