"""The Logit shift screen: the softmax map is moved and no probability moves."""
