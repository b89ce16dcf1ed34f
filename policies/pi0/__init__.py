"""Pi0 and Pi0.5 in plain torch: network, transforms, tokenizer and the policy made of them."""
