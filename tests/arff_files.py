"""Two series and one in the archive's .arff, with two channels."""

TRAIN_ARFF = """% A comment on the data
@relation Toy

@attribute Toy relational
  @attribute att0 numeric
  @attribute att1 numeric
@end Toy
@attribute target {a,b}

@data
'1.0,2.0\\n4.0,5.0',a
'7.0,8.0\\n9.0,-1.5',b
"""
TEST_ARFF = TRAIN_ARFF.partition("'1.0")[0] + "'0.5,1e-3\\n2,3',b\n"
