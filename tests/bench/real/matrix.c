/* Products of matrices, COUNT times: built once for SSE2, once for the x87 (see ../real.py). */
#include <stdio.h>
#include <stdlib.h>

#define N 160

static double a[N][N], b[N][N], c[N][N];

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
    for (unsigned i = 0; i < N; i++) {
        for (unsigned j = 0; j < N; j++) {
            a[i][j] = (double)((i * 7 + j * 3) % 11) / 8; /* exact in both */
            b[i][j] = (double)((i * 5 + j) % 13) / 16;
        }
    }
    double sum = 0;
    while (count--) {
        for (unsigned i = 0; i < N; i++) {
            for (unsigned j = 0; j < N; j++) {
                double s = 0;
                for (unsigned k = 0; k < N; k++)
                    s += a[i][k] * b[k][j];
                c[i][j] = s;
            }
        }
        sum += c[count % N][(count * 3) % N];
        a[count % N][0] += 0.125;
    }
    printf("%.6f\n", sum);
    return 0;
}
