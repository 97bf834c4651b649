from uq.adaptive import expectations as expectations
from uq.estimates import Expectations as Expectations
from uq.inputs import Inputs as Inputs
from uq.joint_laws import JointLaw as JointLaw

__version__: str
