/* A library without a function, in the place of the one for 3D that X's vmware driver names: it is bound when it is
 * used. */
extern char none;
