"""The review page: look at crops in a browser, correct, keep and reject them."""
