from uq.adaptive import expectations as expectations
from uq.estimates import Expectations as Expectations
from uq.impact_of_inputs import input_impact as input_impact
from uq.inputs import Inputs as Inputs
from uq.joint_laws import JointLaw as JointLaw
from uq.law_impacts import InputImpact as InputImpact

__version__: str
