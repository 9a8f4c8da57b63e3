"""Asking other sites for class statistics: the request, their responses, what is made of them."""
