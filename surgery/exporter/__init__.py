"""Export of torch modules: rewriters in force, the file verified against the module.

`targets` finds what a path leads to and puts a replacement in its place; `context` chooses rewriters
and keeps them in force; `dims` names what is dynamic, and `inputs` makes inputs of other sizes;
`locate` finds the first module whose result differs; `export` leads them.
"""
