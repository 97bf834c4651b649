"""The knowledge gradient by simulation, after Algorithms 2-4 of Frazier (2018), in plain NumPy.

Notation
--------
n, d, J     observations, columns, replications
X, y        (n, d), (n,) observations with noise of variance lambda
A           (m, d) points over which the inner maximum is taken
x, Z        a candidate (d,), (J,) standard normal draws

Three mends: an observation is drawn with the variance of f(x) and of its noise together; the
iterates of the ascent are projected on to the cube; and its unit steps need inputs and values of
order one, as here. Every replication fits the process to n + 1 observations again: no formula of
the package is used.
"""

from dataclasses import dataclass

import numpy as np

_STEP = 1e-5


@dataclass(frozen=True)
class Simulation:
    X: np.ndarray
    y: np.ndarray
    lengthscale: float
    noise: float
    A: np.ndarray

    def kernel(self, U, V):
        squared = ((U[:, None, :] - V[None, :, :]) ** 2).sum(-1)
        return np.exp(-0.5 * squared / self.lengthscale**2)

    def moments(self, x):
        """Mean of f(x), and standard deviation of an observation there."""
        k = self.kernel(x[None], self.X)[0]
        K = self.kernel(self.X, self.X) + self.noise * np.eye(len(self.X))
        variance = 1.0 - k @ np.linalg.solve(K, k)
        return k @ np.linalg.solve(K, self.y), np.sqrt(max(variance, 0.0) + self.noise)

    def refitted_weights(self, x, Z):
        """The points with x (n + 1, d), and K^-1 y (n + 1, J) after every drawn observation."""
        mean, sd = self.moments(x)
        X = np.vstack((self.X, x))
        y = np.vstack((np.tile(self.y[:, None], (1, len(Z))), mean + sd * Z))
        K = self.kernel(X, X) + self.noise * np.eye(len(X))
        return X, np.linalg.solve(K, y)

    def best_mean(self):
        K = self.kernel(self.X, self.X) + self.noise * np.eye(len(self.X))
        return (self.kernel(self.A, self.X) @ np.linalg.solve(K, self.y)).max()

    def gains(self, x, Z):
        """Algorithm 2: (J,) gains of the best mean, whose average is the knowledge gradient."""
        X, weights = self.refitted_weights(x, Z)
        return (self.kernel(self.A, X) @ weights).max(0) - self.best_mean()

    def gradients(self, x, Z):
        """Algorithm 4: (J, d) unbiased gradients, the maximiser and Z held fixed."""
        X, weights = self.refitted_weights(x, Z)
        best = self.A[(self.kernel(self.A, X) @ weights).argmax(0)]

        def mean_there(at):
            X, weights = self.refitted_weights(at, Z)
            return (self.kernel(best, X) * weights.T).sum(1)

        steps = _STEP * np.eye(len(x))
        slopes = [(mean_there(x + h) - mean_there(x - h)) / (2 * _STEP) for h in steps]
        return np.stack(slopes, axis=1)

    def ascent(self, rng, n_starts=10, n_steps=100, a=4.0, J=8, J_score=1000):
        """Algorithm 3: the best end of several stochastic gradient ascents."""
        ends = rng.random((n_starts, self.X.shape[1]))
        for x in ends:
            for t in range(1, n_steps + 1):
                G = self.gradients(x, rng.standard_normal(J)).mean(0)
                x[:] = np.clip(x + a / (a + t) * G, 0.0, 1.0)
        Z = rng.standard_normal(J_score)
        return max(ends, key=lambda x: self.gains(x, Z).mean())
