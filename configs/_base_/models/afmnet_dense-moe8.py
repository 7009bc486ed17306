# earlier fused maps enter the later ones; 8 experts of 768 and one shared, two active
_base_ = './afmnet.py'

model = dict(
    backbone=dict(aggregation='dense'),
    head=dict(num_experts=8, inner=768, shared=1, topk=2),
)
