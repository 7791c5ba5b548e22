"""What we sell and for how much: products, price books, prices with their days."""
