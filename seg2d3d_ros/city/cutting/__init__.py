"""Which keyframes make a block: by place, or by who shows the same where no place is known."""
