"""A mask model, which gives masks for prompts to single images → masks that all views agree on."""
