package image
import ("testing";"os";"bytes";"github.com/gen2brain/heic";"golang.org/x/image/tiff")
func TestZZ(t *testing.T){
 b,_:=os.ReadFile("/tmp/cc/odd/a.heic")
 img,err:=heic.Decode(bytes.NewReader(b)); t.Log(err); if err==nil {t.Log(img.Bounds())}
 c,err:=heic.DecodeConfig(bytes.NewReader(b)); t.Log(c.Width,c.Height,err)
 b,_=os.ReadFile("/tmp/cc/t_Fax.tif")
 _,err=tiff.Decode(bytes.NewReader(b)); t.Log(err)
 for _,p:=range tiffPages(b){ t.Log(p.size()); for _,tag:=range []uint16{259,262,266,273,278,279,292}{t.Log(tag,p.numbers(tag))}}
}
